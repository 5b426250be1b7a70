"""Jupyter: what a stock jupyter_client script pays for a kernel of the daemon's, its own or a notebook's."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from functools import partial

from bare import DEADLINE_S, Bare
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from stage import Stage, bare_two, expect, interleave, spread, timed
from table import Measure, Target

from runtimed import Session

NOTEBOOK = "leased"
PROVISIONER = "runtimed-provisioner"


def owned(stage: Stage) -> Iterator[Measure]:
    """1+1 by BlockingKernelClient on a kernel of its own: the sockets are the kernel's, so nothing is between."""
    with _client(stage, "") as client:
        ours, bare = _compared(stage, client)
    yield Measure(
        what="jupyter_client: 1+1 on an owned kernel",
        ours=statistics.median(ours),
        bare=statistics.median(bare),
        target=Target(kind="times", limit=1.05),
        note=f"{spread(ours)}, bare {spread(bare)}",
    )


def shared(stage: Stage) -> Iterator[Measure]:
    """The same on a notebook's kernel, each execution a cell; and how soon a second client sees what it printed.

    A Session takes processor time from a client in its own process, as any thread there would: once without, once with.
    """
    with _client(stage, NOTEBOOK) as client:
        ours, bare = _compared(stage, client)
        yield Measure(
            what="jupyter_client: 1+1 on a notebook's kernel",
            ours=statistics.median(ours),
            bare=statistics.median(bare),
            target=Target(kind="over", limit=0.001),
            note=f"{spread(ours)}, bare {spread(bare)}",
        )
        with Session(NOTEBOOK, socket_path=stage.socket, peer_label="bench") as session:
            ours, bare = _compared(stage, client)
            yield Measure(
                what="the same, and a Session in its process watches",
                ours=statistics.median(ours),
                bare=statistics.median(bare),
                note=f"{spread(ours)}, bare {spread(bare)}",
            )
            seen = [_until_seen(session, client, number) for number in range(stage.times(100, 20))]
    yield Measure(
        what="a script's output in a replica, after its reply",
        ours=statistics.median(seen),
        target=Target(kind="under", limit=0.02),
        note=spread(seen),
    )


def _compared(stage: Stage, client: Bare) -> tuple[list[float], list[float]]:
    for _ in range(5):
        bare_two(client)
    return interleave(stage.times(300, 60), partial(bare_two, client), partial(bare_two, stage.bare))


def _until_seen(session: Session, client: Bare, number: int) -> float:
    """From the reply on: the script has its own output by then."""
    cell_id = session.create_cell(f"print('seen {number}')")
    client.run(f"print('seen {number}')", cell_id=cell_id)
    return timed(lambda: _wait_for(session, cell_id, f"seen {number}\n"))


def _wait_for(session: Session, cell_id: str, text: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while [output.text for output in session.get_cell(cell_id).outputs] != [text]:
        expect(time.monotonic() < deadline, f"{text!r} never came")
        time.sleep(0.0005)


@contextlib.contextmanager
def _client(stage: Stage, notebook_id: str) -> Iterator[Bare]:
    manager = KernelManager(transport="ipc", connection_file=str(stage.folder / f"jupyter-{notebook_id[:8]}.json"))
    manager._kernel_spec = KernelSpec(
        argv=[stage.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="ours",
        language="python",
        metadata={"kernel_provisioner": {"provisioner_name": PROVISIONER, "config": {"notebook_id": notebook_id}}},
    )
    manager.start_kernel(env={**os.environ, **stage.env}, cwd=str(stage.folder))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE_S)
        yield Bare(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
