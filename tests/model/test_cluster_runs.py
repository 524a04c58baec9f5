"""Random sequences of commands and faults against two bridges of a cluster on a Galera: nothing without an outcome,
nothing executed twice, no event lost untold, no handle lost.

The seed of a failure is in its name: ``MODEL_SEED=N`` repeats it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.model.cluster import ClusterRun
from tests.model.cluster_steps import plan, take
from tests.support.bridge_cluster import ClusterBed, Listener, attach, ready
from tests.support.galera import Galera
from tests.support.janus import Janus
from tests.support.receivers import udp_receiver
from tests.support.tables import mariadb_table

ROUNDS = 4
STEPS = 15  # a round
TIMEOUT = 8.0  # s; commits stand still for as long as a Galera needs to miss a node, for twice that on a busy machine


@pytest.mark.parametrize("seed", [1, 2, int(os.environ["MODEL_SEED"])])
async def test_two_bridges_keep_every_promise(
    seed: int, tmp_path: Path, galera: Galera, janus_factory: Callable[..., Janus]
) -> None:
    janus = janus_factory(reclaim_session_timeout=60)
    options = {"cluster.ping_interval": 0.5, "cluster.node_timeout": TIMEOUT, "janus.janus_ping_interval": 1}
    with udp_receiver() as events:
        bed = ClusterBed(tmp_path, mariadb_table(galera, {"gw1": janus.url}), 2, events, options)
        async with trio.open_nursery() as nursery:
            with bed:  # its logs, where something fails
                run = ClusterRun(bed, galera, Listener(events), nursery, up={0, 1})
                nursery.start_soon(run.listener.run)
                for bridge in bed.bridges:
                    await ready(bridge)
                    run.handles += [await attach(bridge) for _ in range(2)]
                for number, step in enumerate(plan(seed, ROUNDS * STEPS), 1):
                    print(number, *step, run.outcomes)  # pytest shows it where the test failed
                    await take(run, step)
                    if number % STEPS == 0:
                        await run.rest()
                        assert not run.faults, "\n".join(run.faults)
            nursery.cancel_scope.cancel()
