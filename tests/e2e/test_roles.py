"""``[mi] roles`` in the running program: tokens, pages, unix sockets, and a reload."""

from pathlib import Path

import pytest

from bridge.protocol.jsonrpc import RpcError
from bridge.transport.mi_client import MiClient
from tests.support.site import Site

READER = {"role": "read-only", "token": "look"}


async def test_roles_and_their_reload(tmp_path: Path) -> None:
    settings = {"mi.token": "all", "mi.roles": [READER], "mi.datagram": [f"unix:{tmp_path}/mi"]}
    site = Site(tmp_path, **settings)
    with site.bridge as bridge:
        reader = MiClient(bridge.mi_url, token="look")
        assert reader.call("janus_list") == {"Gateways": []}
        with pytest.raises(RpcError, match="janus_reload needs the role everything"):
            reader.call("janus_reload")
        MiClient(bridge.mi_url, token="all").call("janus_reload")
        site.write(mi__roles=[READER | {"role": "everything"}, {"role": "commands", "users": ["no-such-user"]}])
        await site.reload("[mi] roles: role commands: there is no user 'no-such-user'")
        with pytest.raises(RpcError, match="needs the role"):
            reader.call("janus_reload")
        site.write(mi__roles=[READER | {"role": "everything"}, {"role": "commands", "users": ["0"]}])
        await site.reload("reload: done")
        reader.call("janus_reload")
        assert MiClient(f"unix:{tmp_path}/mi").call("janus_reload")["errors"] == []  # this user is the bridge's own
        assert "look" not in bridge.log


def test_a_role_alone_makes_a_listener_that_others_reach_possible(tmp_path: Path) -> None:
    site = Site(tmp_path, **{"mi.http": ["0.0.0.0:0"], "mi.roles": [READER]})
    with site.bridge as bridge, pytest.raises(RpcError, match="Unauthorized"):
        MiClient(bridge.mi_url.replace("0.0.0.0", "127.0.0.1")).call("version")
