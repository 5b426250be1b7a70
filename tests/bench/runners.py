"""Runners: a whole notebook through nbclient, with its kernel in the daemon and without."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from stage import Stage, expect, interleave
from table import Measure, Target

from runtimed.jupyter import AsyncRuntimedKernelManager

CELLS = 100


def nbclient(stage: Stage) -> Iterator[Measure]:
    """Kernel start, every cell, and shutdown; both kernels are of the same kernelspec."""
    ours, plain = interleave(
        stage.times(5, 2), partial(_executed, AsyncRuntimedKernelManager), partial(_executed, AsyncKernelManager)
    )
    yield Measure(
        what=f"nbclient executes {CELLS} cells, start included",
        ours=statistics.median(ours),
        bare=statistics.median(plain),
        target=Target(kind="times", limit=1.05),
    )


def _executed(manager: type[AsyncKernelManager]) -> None:
    cells = [nbformat.v4.new_code_cell(f"print({number} + 1)") for number in range(CELLS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3", kernel_manager_class=manager).execute()
    last = "".join(output.text for output in notebook.cells[-1].outputs)  # nbclient keeps what the kernel sent apart
    expect(last == f"{CELLS}\n", f"the last cell gave {last!r}")
