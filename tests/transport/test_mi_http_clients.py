"""Real clients: curl, Python's http.client, the unmodified MI client of OpenSIPS."""

import http.client
import shutil

import pytest
import trio
from opensips.mi import OpenSIPSMI

from bridge.transport.http_access import Access
from bridge.transport.http_ends import HttpLimits
from bridge.transport.mi_client import MiClient
from tests.support.certs import Certificates
from tests.support.http_peer import SECONDS, Served, serve
from tests.support.mi_pairs import call, core_registry, result

pytestmark = pytest.mark.program

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="no curl")
JSON = "Content-Type: application/json"


async def curl(served: Served, *arguments: str, body: bytes = b"{}", scheme: str = "http") -> list[str]:
    """Lines: the body, then what curl says of the transfer: status, HTTP version, new connections. For each URL."""
    command = [str(CURL), "--silent", "--show-error", "--noproxy", "*", "--max-time", "5", "-H", JSON]
    command += ["--write-out", "\n%{http_code} %{http_version} %{num_connects}\n", "--data-binary", "@-", *arguments]
    command += [f"{scheme}://localhost:{served.port}/mi"]
    with trio.fail_after(2 * SECONDS):
        done = await trio.run_process(command, stdin=body, capture_stdout=True)
    return str(done.stdout.decode()).splitlines()


@needs_curl
@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        ([], "200 1.1 1"),
        (["--http1.0"], "200 1.1 1"),
        (["--header", "Expect: 100-continue"], "200 1.1 1"),
        (["--header", "Transfer-Encoding: chunked"], "200 1.1 1"),
        (["--http2"], "200 1.1 1"),  # asks for an upgrade to h2c
        (["--header", "Connection: close"], "200 1.1 1"),
        (["--header", "Origin: http://localhost"], "403 1.1 1"),
        (["--header", "Host: example.org"], "403 1.1 1"),
        (["--request", "PUT"], "406 1.1 1"),
    ],
)
async def test_curl(nursery: trio.Nursery, arguments: list[str], last: str) -> None:
    served = await serve(nursery)
    answer = await curl(served, *arguments)
    assert answer[-1] == last
    assert (answer[0] == "<{}>") == last.startswith("200")


@needs_curl
async def test_curl_reuses_its_connection_whatever_the_status(nursery: trio.Nursery) -> None:
    served = await serve(nursery)
    url = f"http://localhost:{served.port}"
    lines = await curl(served, f"{url}/mi", f"{url}/nowhere", f"{url}/mi", body=b"notify")
    assert [line.split()[0] for line in lines if line.endswith((" 1", " 0"))] == ["202", "400", "202", "202"]
    assert sum(int(line.split()[2]) for line in lines if line.endswith((" 1", " 0"))) == 1


@needs_curl
async def test_curl_hears_of_a_body_that_is_too_large(nursery: trio.Nursery) -> None:
    served = await serve(nursery, limits=HttpLimits(max_body=1000))
    for header in ("Expect:", "Expect: 100-continue"):
        assert (await curl(served, "--header", header, body=b"x" * (4 << 20)))[-1] == "413 1.1 1"


@needs_curl
async def test_curl_with_tls_and_a_token(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(nursery, access=Access(token="secret"), tls=certificates.server_context())
    trusting = ["--cacert", str(certificates.ca)]
    assert (await curl(served, *trusting, scheme="https"))[-1].startswith("401")
    assert (await curl(served, *trusting, "-H", "Authorization: Bearer secret", scheme="https"))[0] == "<{}>"
    assert (await curl(served, *trusting, "-H", "Authorization: Bearer secret", "-0", scheme="https"))[0] == "<{}>"


async def test_http_client(nursery: trio.Nursery) -> None:
    served = await serve(nursery)

    def talk() -> list[tuple[int, bytes]]:
        connection = http.client.HTTPConnection(served.host, served.port, timeout=SECONDS)
        answers = []
        for body in (b"1", b"notify", b"", b"2"):
            connection.request("POST", "/mi", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answers.append((response.status, response.read()))
        connection.close()
        return answers

    assert await trio.to_thread.run_sync(talk) == [(200, b"<1>"), (202, b""), (400, b""), (200, b"<2>")]


async def test_the_mi_client_of_opensips(nursery: trio.Nursery) -> None:
    served = await serve(nursery, core_registry().dispatch)
    mi = OpenSIPSMI("http", url=f"http://{served.host}:{served.port}/mi")

    def talk() -> list[object]:
        return [mi.execute("which", ["ps"]), mi.execute("which", {"command": "which"}), mi.valid()[0]]

    assert await trio.to_thread.run_sync(talk) == [[[]], [[], ["command"]], True]


async def test_our_own_client_with_tls_and_a_token(nursery: trio.Nursery, certificates: Certificates) -> None:
    served = await serve(nursery, core_registry().dispatch, Access(token="secret"), tls=certificates.server_context())
    url = f"https://localhost:{served.port}/mi"
    client = MiClient(url, token="secret", ca=str(certificates.ca), timeout=SECONDS)
    assert await trio.to_thread.run_sync(client.call, "which", ["ps"]) == [[]]


async def test_a_raw_pipeline_of_real_requests(nursery: trio.Nursery) -> None:
    client = await (await serve(nursery, core_registry().dispatch)).connect()
    bodies = [call("which", '["ps"]', id=str(number)) for number in range(50)]
    head = "POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    await client.send(b"".join(head.format(len(body)).encode() + body for body in bodies))
    for number in range(50):
        assert (await client.answer()).body == result("[[]]", id=str(number))
