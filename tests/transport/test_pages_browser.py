"""The status page in a browser: on a phone and a desk, by day and night, live, and without scripts."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import trio

from bridge.protocol.snapshot import HistorySnapshot, SessionSnapshot, Snapshot
from bridge.transport.http_access import Access
from bridge.transport.http_messages import Reply
from bridge.transport.pages import pages
from tests.support.browser import PHONE, PROGRAM, Screen, Tab, browser, open_tab
from tests.support.deadlines import HANG_SECONDS
from tests.support.http_peer import serve
from tests.support.snapshots import figures, gateway, subscriber

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
# The contrast of each element's text with what is behind it (WCAG 2.2, 1.4.3), the least of all.
CONTRAST = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((n) => (n / 255 <= 0.04045 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if ((numbers(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let least = 21;
  for (const node of document.body.querySelectorAll("*")) {
    if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()) || node.tagName === "SCRIPT") continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()
"""  # noqa: E501


@pytest.fixture(scope="module")
def devtools() -> Iterator[str]:
    with browser() as url:
        yield url


@dataclass
class Site:
    """A served status page whose figures a test may change."""

    url: str = ""
    fails: bool = False
    asked: int = 0

    def show(self, *gateways: object, **changes: object) -> None:
        self._made = (gateways, changes)

    def figures(self) -> Snapshot:
        gateways, changes = self._made
        return figures(gateways, [subscriber()], **changes)  # type: ignore[arg-type]


@pytest.fixture
async def site(nursery: trio.Nursery) -> Site:
    made = Site()
    made.show(gateway("gw1"), gateway("gw2", state="backoff", last_error="refused"))
    home = pages(made.figures)["/"]

    async def page(query: bytes) -> Reply:
        shown = home(query)
        assert not isinstance(shown, Reply)
        reply = await shown
        made.asked += 1
        return Reply(500, b"text/plain") if made.fails else reply

    served = await serve(nursery, pages={"/": page})
    made.url = f"http://127.0.0.1:{served.port}/"
    return made


# What a browser says when a person comes back to the tab: the page does not wait for its next turn.
NOW = "document.dispatchEvent(new Event('visibilitychange'))"


async def refresh(tab: Tab) -> None:
    """Wait until the page has been brought up to date once more."""
    await tab.evaluate("window.old = document.getElementById('gateways')")
    await tab.evaluate(NOW)
    await tab.becomes("document.getElementById('gateways') !== old")


@pytest.fixture
async def tab(devtools: str, site: Site) -> AsyncIterator[Tab]:
    async with open_tab(devtools) as opened:
        yield opened


def row_of(name: str) -> str:
    return f"[...document.querySelectorAll('#gateways tbody tr')].find((row) => row.dataset.key === {json.dumps(name)})"


@pytest.mark.parametrize(
    ("screen", "many"),
    [
        (Screen(), 0),
        (Screen(), 200),
        (Screen(dark=True), 1),
        (Screen(820, 1180), 3),
        (PHONE, 1),
        (PHONE._replace(dark=True), 0),
        (PHONE._replace(dark=True), 200),
    ],
)
async def test_it_fits_and_can_be_read(tab: Tab, site: Site, screen: Screen, many: int) -> None:
    states = ["ready", "backoff", "connecting", "disabled"]
    site.show(
        *(gateway(f"gateway-{n}", state=states[n % 4], last_error="x" * 400 * (n % 2)) for n in range(many)),
        counters={"event_drops": 10**12},
    )
    await tab.show_on(screen)
    await tab.go(site.url)
    await tab.becomes("document.getElementById('live').textContent === 'Live'")
    assert await tab.evaluate("document.querySelectorAll('#gateways tbody tr').length") == many
    assert await tab.evaluate("document.documentElement.scrollWidth") <= screen.width
    assert await tab.evaluate("innerWidth") == screen.width
    assert await tab.evaluate(CONTRAST) >= 4.5
    assert tab.complaints == []


async def test_a_screen_reader_finds_the_tables_on_a_phone_too(tab: Tab, site: Site) -> None:
    for screen in (Screen(), PHONE):
        await tab.show_on(screen)
        await tab.go(site.url)
        tree = await tab.call("Accessibility.getFullAXTree")
        nodes = [(node["role"]["value"], node.get("name", {}).get("value")) for node in tree["nodes"] if "role" in node]
        assert ("table", "Gateways") in nodes
        assert ("table", "Event subscribers") in nodes
        assert [name for role, name in nodes if role == "columnheader"][:2] == ["Gateway", "State"]
        assert len([role for role, _ in nodes if role == "rowheader"]) == 3
        assert ("heading", "Gateways") in nodes


async def test_it_lives(tab: Tab, site: Site) -> None:
    await tab.go(site.url)
    assert await tab.evaluate("document.title") == "1/2 ready – janus-bridge"
    site.show(gateway("gw1"), gateway("gw2"))
    await tab.becomes("document.title === '2/2 ready – janus-bridge'")
    assert await tab.evaluate(f"{row_of('gw2')}.querySelector('.state').textContent") == "ready"
    assert tab.loads == 1
    assert tab.complaints == []


async def test_what_is_open_and_focused_stays_so(tab: Tab, site: Site) -> None:
    await tab.go(site.url)
    await tab.evaluate(f"{row_of('gw1')}.querySelector('summary').focus()")
    await tab.evaluate(f"{row_of('gw1')}.querySelector('details').open = true")
    session = SessionSnapshot("99...", True, {"janus.plugin.sip": 7})
    ended = HistorySnapshot(0.0, "hangup", "99...", 5, "", "ICE failed", "", 0)
    site.show(gateway("gw1", sessions=[session], history=[ended]), gateway("gw2"))
    await refresh(tab)
    assert not await tab.evaluate(f"{row_of('gw1')}.querySelector('details.history').open")
    assert await tab.evaluate(f"{row_of('gw1')}.textContent.includes('7 sip')")
    assert await tab.evaluate(f"{row_of('gw1')}.querySelector('details').open")
    assert not await tab.evaluate(f"{row_of('gw2')}.querySelector('details').open")
    assert await tab.evaluate(f"document.activeElement === {row_of('gw1')}.querySelector('summary')")


async def test_nothing_moves_under_a_selection(tab: Tab, site: Site) -> None:
    await tab.go(site.url)
    await tab.evaluate("window.kept = document.getElementById('gateways'); getSelection().selectAllChildren(kept)")
    site.show()
    asked = site.asked
    await tab.evaluate(NOW)
    with trio.fail_after(HANG_SECONDS):
        while site.asked == asked:  # noqa: ASYNC110 - the page tells nobody
            await trio.sleep(0.005)
    with trio.move_on_after(0.3):
        await tab.becomes("document.getElementById('gateways') !== kept")
        raise AssertionError("it moved")
    await tab.evaluate("getSelection().removeAllRanges()")
    await refresh(tab)


async def test_the_filter_holds(tab: Tab, site: Site) -> None:
    visible = "[...document.querySelectorAll('#gateways tbody tr')].filter((row) => !row.hidden).length"
    await tab.go(site.url)
    assert await tab.evaluate("document.getElementById('filter').hidden")
    site.show(*(gateway(f"gw{n}") for n in range(20)))
    await refresh(tab)
    assert not await tab.evaluate("document.getElementById('filter').hidden")
    await tab.evaluate("filter.focus()")
    await tab.call("Input.insertText", text="GW1")
    assert await tab.evaluate(visible) == 11
    assert await tab.evaluate("document.getElementById('found').textContent") == "11 of 20"
    await refresh(tab)
    assert await tab.evaluate(visible) == 11
    assert await tab.evaluate("document.activeElement.id") == "filter"
    tree = await tab.call("Accessibility.getFullAXTree")
    assert [node["role"]["value"] for node in tree["nodes"] if "role" in node].count("status") == 2  # and "Live"


async def test_a_thousand_gateways_fit_and_are_sifted(tab: Tab, site: Site) -> None:
    site.show(*(gateway(f"gw{n}", state="ready" if n % 50 else "backoff") for n in range(1000)))
    await tab.show_on(PHONE)  # from the first: to lay them out anew costs seconds
    await tab.go(site.url)
    await tab.becomes("document.getElementById('live').textContent === 'Live'")
    assert await tab.evaluate("document.documentElement.scrollWidth") <= PHONE.width
    await tab.evaluate("state.value = 'backoff'; state.dispatchEvent(new Event('input'))")
    assert await tab.evaluate("document.getElementById('found').textContent") == "20 of 1,000"
    assert tab.complaints == []


async def test_one_state_alone_can_be_shown(tab: Tab, site: Site) -> None:
    visible = "[...document.querySelectorAll('#gateways tbody tr')].filter((row) => !row.hidden).length"
    states = ("ready", "ready", "backoff", "connecting", "disabled")
    site.show(*(gateway(f"gw{n}", state=states[n % 5]) for n in range(20)))
    await tab.go(site.url)
    await tab.evaluate("state.value = 'backoff'; state.dispatchEvent(new Event('input'))")
    assert await tab.evaluate(visible) == 4
    await refresh(tab)
    assert await tab.evaluate(visible) == 4
    await tab.evaluate("state.value = ''; state.dispatchEvent(new Event('input'))")
    assert await tab.evaluate(visible) == 20


async def test_a_gateway_is_drawn_on_demand_and_stays(tab: Tab, site: Site) -> None:
    await tab.go(site.url)
    assert await tab.evaluate("document.querySelectorAll('#recent svg').length") == 6
    loads = tab.loads
    await tab.evaluate(f"{row_of('gw2')}.querySelector('a').click()")
    await tab.until(lambda: tab.loads > loads)
    await tab.evaluate("document.querySelector('#recent a').focus()")
    await refresh(tab)
    assert await tab.evaluate("document.querySelectorAll('#recent svg').length") == 9
    assert await tab.evaluate("document.activeElement.ariaLabel") == "Close the plots of gw2"
    assert tab.complaints == []


async def test_a_bridge_that_does_not_answer_is_told(tab: Tab, site: Site) -> None:
    await tab.go(site.url)
    site.fails = True
    await tab.evaluate(NOW)
    await tab.becomes("document.getElementById('live').textContent.startsWith('No answer since')")
    assert await tab.evaluate("document.querySelectorAll('#gateways tbody tr').length") == 2
    site.fails = False
    await tab.evaluate(NOW)
    await tab.becomes("document.getElementById('live').textContent === 'Live'")
    assert await tab.evaluate("document.title") == "1/2 ready – janus-bridge"


async def test_without_scripts_it_reloads_by_itself(tab: Tab, site: Site) -> None:
    await tab.without_scripts()
    await tab.go(site.url)
    tree = await tab.call("DOM.getDocument", depth=-1)
    assert '"Reloads every 10 s"' in json.dumps(tree)
    assert "refresh" in json.dumps(tree)


async def test_hostile_texts_stay_texts(tab: Tab, site: Site) -> None:
    hostile = gateway(HOSTILE, janus_url=HOSTILE, last_error=HOSTILE)
    site.show(hostile)
    await tab.go(site.url)
    await refresh(tab)  # the way through the script, too
    assert await tab.evaluate("document.title") == "1/1 ready – janus-bridge"
    assert await tab.evaluate("document.querySelectorAll('img').length") == 0
    assert await tab.evaluate(f"{row_of(HOSTILE)}.querySelector('b').textContent") == HOSTILE
    assert tab.complaints == []


async def test_the_policy_stops_what_escaping_would_have_missed(tab: Tab, site: Site) -> None:
    await tab.go(site.url)
    await tab.evaluate(
        "const one = document.createElement('script'); one.textContent = \"document.title = 'owned'\"; "
        "document.body.append(one)"
    )
    assert await tab.evaluate("document.title") != "owned"
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)


async def test_a_browser_is_let_in_though_web_pages_are_not(devtools: str, nursery: trio.Nursery) -> None:
    """No request of the page has an Origin header, which ``http_access`` takes for a foreign page's."""
    site = Site()
    site.show(gateway("gw1"))
    served = await serve(nursery, access=Access(), pages=pages(site.figures))
    async with open_tab(devtools) as tab:
        await tab.go(f"http://127.0.0.1:{served.port}/")
        await refresh(tab)
        assert tab.complaints == []


async def test_a_person_may_type_the_token_as_the_password(devtools: str, nursery: trio.Nursery) -> None:
    """Here in the URL; the script must cope with that, and a foreign page's form must not get any further by it."""
    site = Site()
    site.show(gateway("gw1"))
    served = await serve(nursery, access=Access(token="secret"), pages=pages(site.figures))
    place = f"127.0.0.1:{served.port}"
    async with open_tab(devtools) as tab:
        await tab.go(f"http://anybody:secret@{place}/")
        assert await tab.evaluate("document.title") == "1/1 ready – janus-bridge"
        site.show(gateway("gw1"), gateway("gw2"))
        await tab.evaluate(NOW)
        await tab.becomes("document.title.startsWith('2/2')")
        assert tab.complaints == []
        # The browser knows the password now, and would show it with whatever the next page asks.
        await tab.go(f"http://{place}/")
        assert await tab.evaluate("document.title") == "2/2 ready – janus-bridge"
        await tab.go(
            f"data:text/html,<form method=post enctype=text/plain action=http://{place}/mi><input name=a></form>"
        )
        loads = tab.loads
        await tab.evaluate("document.forms[0].submit()")
        await tab.until(lambda: tab.loads > loads)
        assert (
            await tab.evaluate("document.body.textContent")
            == "Requests of web pages (with an Origin header) are refused"
        )
