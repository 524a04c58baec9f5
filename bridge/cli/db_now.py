"""``janus-bridge db add --now`` and its like: the running bridge reads the table that was changed.

Owns the wait for the gateway, and what is printed of it. Must not know the table.
"""

import time
from typing import Any

from bridge.cli.mi import client_of, explained
from bridge.cli.output import complain
from bridge.config import Config
from bridge.protocol.printable import printable
from bridge.transport.mi_client import MiClient

PATIENCE = 5.0  # seconds for a gateway to be ready
_POLL_SECONDS = 0.05


def tell(config: Config, janus_id: str | None) -> tuple[int, str | None]:
    """Let the bridge of that configuration read its table, and wait until it is ready at ``janus_id``, if one is named.

    The exit code and a line to print: 0, or 1 where a row is not in use, which is complained of. Raises
    NothingAnswered, RpcError.
    """
    client = client_of(config.mi)
    with explained(client.url):
        faults = client.call("janus_reload")["errors"]
        if janus_id is not None:
            gateway = _settled(client, janus_id)
            if not _in_use(gateway):
                faults.append(f"{janus_id} is {gateway['state']}: {gateway['last_error'] or 'no answer yet'}")
    for fault in faults:
        complain(printable(f"janus-bridge db: the running bridge: {fault}"))
    return (1, None) if faults else (0, "The running bridge has it.")


def _settled(client: MiClient, janus_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while True:
        gateway: dict[str, Any] = client.call("janus_list", [janus_id])["Gateways"][0]
        if _in_use(gateway) or gateway["state"] == "disabled" or time.monotonic() > deadline:
            return gateway
        time.sleep(_POLL_SECONDS)


def _in_use(gateway: dict[str, Any]) -> bool:
    """On a connection to the URL that it has in the table."""
    return gateway["state"] == "ready" and "serving_url" not in gateway
