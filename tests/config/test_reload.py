"""What SIGHUP may change, and what has to wait for a restart."""

from collections.abc import Sequence

import pytest

from bridge.config import Config, difference, load, reloaded


def config(*overrides: str) -> Config:
    return load(overrides=["state.dir=/d", *overrides], environ={})


@pytest.mark.parametrize(
    ("before", "after", "reloadable", "restart"),
    [
        ([], [], (), ()),
        ([], ["log.level=4"], ("log.level",), ()),
        ([], ["janus.janus_cmd_timeout=1"], (), ("janus.janus_cmd_timeout",)),
        ([], ["mi.token=x", "mi.http=['127.0.0.1:1']", "mi.max_body=2000"], ("mi.token",), ("mi.http", "mi.max_body")),
        (["janus.janus_db_url=mysql://u:a@h/d"], ["janus.janus_db_url=mysql://u:b@h/d"], ("janus.janus_db_url",), ()),
        (["janus.janus_db_url=mysql://u@h/d"], [], ("janus.janus_db_url",), ()),
        (
            ["janus.gateways.a.token=1", "janus.gateways.a.integer_members=['x']", "janus.gateways.gone.token=1"],
            ["janus.gateways.a.token=2", "janus.gateways.a.integer_members=['y']", "janus.gateways.new.origin=z"],
            ("janus.gateways.gone", "janus.gateways.new", "janus.gateways.a.token"),
            ("janus.gateways.a.integer_members",),
        ),
        ([], ["state.dir=/e"], (), ("state.dir",)),  # and not the default table in it
    ],
)
def test_changed_keys_are_named(
    before: Sequence[str], after: Sequence[str], reloadable: Sequence[str], restart: Sequence[str]
) -> None:
    old, new = config(*before), config(*after)
    assert difference(old, new) == (reloadable, restart)
    going_on = reloaded(old, new)
    assert difference(old, going_on) == (reloadable, ())
    assert difference(going_on, new) == ((), restart)


def test_subscribers_are_compared_as_what_they_mean() -> None:
    old = config("events.subscribers=[{event='E_JANUS_EVENT', socket='tcp:h:1'}]")
    same = config("events.subscribers=[{event='E_JANUS_EVENT', socket='tcp:h:1', reliable=false}]")
    other = config("events.subscribers=[{event='E_JANUS_EVENT', socket='tcp:h:1', reliable=true}]")
    assert difference(old, same) == ((), ())
    assert difference(old, other) == (("events.subscribers",), ())
