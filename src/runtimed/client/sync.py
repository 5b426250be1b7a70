"""Session: AsyncSession for scripts; every method of one is a method of the other, and a test compares them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from runtimed.client.aio import AsyncSession
from runtimed.client.portal import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from runtimed.client.kernels import StartedKernel
    from runtimed.models import Cell, ExecutionResult

__all__ = ["Session"]

P = ParamSpec("P")
T = TypeVar("T")


class Session:
    """One peer in a notebook's room; see AsyncSession. All sessions of a process share one loop in one thread."""

    def __init__(
        self,
        notebook_id: str | Path | None = None,
        *,
        socket_path: Path | str | None = None,
        peer_label: str = "python",
    ) -> None:
        self._inner = AsyncSession(notebook_id, socket_path=socket_path, peer_label=peer_label)
        self._lease: Lease | None = None
        self._finalizer: weakref.finalize[[Callable[[], object]], Session] | None = None
        self.notebook_id: str = self._inner.notebook_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.notebook_id!r})"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self._inner.__aexit__, kind, error, trace)
        finally:
            self._let_go()

    # ------------------------------------------------------------------ connection

    def connect(self) -> None:
        """Join the room now, instead of with the first call that needs it."""
        self._call(self._inner.connect)

    def close(self) -> None:
        """Leave the room; the kernel stays for the others, or until it has idled long enough."""
        if self._lease is not None:
            try:
                self._call(self._inner.close)
            finally:
                self._let_go()

    @property
    def is_connected(self) -> bool:
        """Whether the room is joined and its socket alive; asking does not connect."""
        return self._lease is not None and self._call(self._inner.is_connected)

    @property
    def path(self) -> str | None:
        """The file behind the notebook, if there is one."""
        return self._call(self._inner.path)

    @property
    def name(self) -> str | None:
        """What the notebook is called, if it was opened by a name."""
        return self._call(self._inner.name)

    # ------------------------------------------------------------------ kernel

    def start_kernel(
        self,
        kernel_type: str = "python",
        env_source: str = "auto",
        notebook_path: str | Path | None = None,
        dependencies: Sequence[str] | None = None,
    ) -> StartedKernel:
        """Start a kernel; if the room has one already, that stays the one it is.

        A notebook without a file is taken to lie at ``notebook_path``: its project is looked for and its kernel works
        there.
        ``dependencies`` are installed beside what the notebook names (with source auto or …:inline), and written
        into its metadata when the kernel runs.
        """
        return self._call(self._inner.start_kernel, kernel_type, env_source, notebook_path, dependencies)

    def shutdown_kernel(self) -> None:
        """End the kernel for everybody in the room, if there is one: its variables are lost, cells and outputs stay."""
        self._call(self._inner.shutdown_kernel)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell; what its sender queued behind it is cancelled."""
        self._call(self._inner.interrupt)

    def restart_kernel(self) -> None:
        """End the kernel and start another in the same environment; NoKernel if there is none."""
        self._call(self._inner.restart_kernel)

    @property
    def kernel_started(self) -> bool:
        """Whether the room has a kernel that runs, whoever started it."""
        return self._lease is not None and self._call(self._inner.kernel_started)

    @property
    def env_source(self) -> str | None:
        """Where the kernel's packages come from, such as ``uv:prewarmed``; None if there never was one."""
        return None if self._lease is None else self._call(self._inner.env_source)

    def kernel_status(self) -> dict[str, Any]:
        """Which notebook, which daemon, and what its kernel is doing."""
        return self._call(self._inner.kernel_status)

    # ------------------------------------------------------------------ cells

    def create_cell(self, source: str = "", cell_type: str = "code", index: int | None = None) -> str:
        """Add a cell and return its id; ``index`` counts from 0, None appends."""
        return self._call(self._inner.create_cell, source, cell_type, index)

    def set_source(self, cell_id: str, source: str) -> None:
        """Replace a cell's text, writing only what differs so that it merges with what others type."""
        self._call(self._inner.set_source, cell_id, source)

    def get_cell(self, cell_id: str) -> Cell:
        """The cell as it stands, with the outputs of its last execution."""
        return self._call(self._inner.get_cell, cell_id)

    def get_cells(self) -> list[Cell]:
        """All cells, in the notebook's order."""
        return self._call(self._inner.get_cells)

    def delete_cell(self, cell_id: str) -> None:
        """Remove the cell and its outputs; variables that it made stay in the kernel."""
        self._call(self._inner.delete_cell, cell_id)

    # ------------------------------------------------------------------ execution

    def run(self, code: str, timeout_secs: float | None = 60.0) -> ExecutionResult:
        """Append a cell with this code and execute it; ExecutionTimeout has what is there so far, the cell goes on."""
        return self._call(self._inner.run, code, timeout_secs)

    def execute_cell(self, cell_id: str, timeout_secs: float | None = 60.0) -> ExecutionResult:
        """Execute a cell, on a kernel that is started if there is none; ExecutionTimeout as in ``run``."""
        return self._call(self._inner.execute_cell, cell_id, timeout_secs)

    def queue_cell(self, cell_id: str) -> str:
        """Have a cell executed without waiting for it; the id is for ``wait_execution``."""
        return self._call(self._inner.queue_cell, cell_id)

    def wait_execution(self, execution_id: str, timeout_secs: float | None = 60.0) -> ExecutionResult:
        """Wait for an execution that anybody queued; ExecutionTimeout as in ``run``."""
        return self._call(self._inner.wait_execution, execution_id, timeout_secs)

    # ------------------------------------------------------------------ the notebook

    def set_metadata(self, key: str, value: str) -> None:
        """Put a value into the notebook's metadata; it is kept in the .ipynb file."""
        self._call(self._inner.set_metadata, key, value)

    def get_metadata(self, key: str) -> str | None:
        """The value that the notebook's metadata has there; None if there is none."""
        return self._call(self._inner.get_metadata, key)

    def set_parameters(self, values: Mapping[str, Any]) -> str:
        """Write values that override those of the cell tagged ``parameters``, as papermill does; the cell's id."""
        return self._call(self._inner.set_parameters, values)

    def save(self, path: str | Path | None = None) -> str:
        """Write the .ipynb file, here if ``path`` is given; returns the path it has."""
        return self._call(self._inner.save, path)

    # ------------------------------------------------------------------ the loop

    def _call(self, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        lease = self._lease
        if lease is None or lease.inherited:
            lease = self._hold()
        return lease.portal.call(method, *args, **kwargs)

    def _hold(self) -> Lease:
        self._lease = Lease()
        self._finalizer = weakref.finalize(self, self._lease.abandon, self._inner._abandon)
        return self._lease

    def _let_go(self) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()
        if self._lease is not None:
            self._lease.end()
        self._lease = self._finalizer = None
