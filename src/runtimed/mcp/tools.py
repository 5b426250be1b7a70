"""Tools: what an agent can do with a notebook, each a line of AsyncSession and a description that stands for itself."""

# No postponed annotations here: the SDK reads them to know what a tool takes.
import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import Field

from runtimed.client.admin import DaemonClient
from runtimed.client.aio import AsyncSession
from runtimed.client.discovery import find, find_all
from runtimed.errors import DaemonNotRunning, ExecutionTimeout
from runtimed.mcp.connection import Connection, notebook_named
from runtimed.mcp.progress import told
from runtimed.mcp.render import Reading, answer, answer_text
from runtimed.models import ExecutionResult

NEW_KERNEL: Final = "a new kernel was started; variables of the last one are gone"

CellId: TypeAlias = Annotated[str, Field(description="The cell's id, as create_cell or get_all_cells gave it.")]
Source: TypeAlias = Annotated[
    str, Field(description="The cell's whole text. Over 256,000 characters are refused: put data into files.")
]
Timeout: TypeAlias = Annotated[
    float,
    Field(
        ge=0,
        allow_inf_nan=False,
        description='Seconds to wait. The cell is never interrupted: past them the answer has status "running" '
        "and the outputs so far.",
    ),
]


class Tools:
    """The tools over one connection. A docstring here is what the agent reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # ------------------------------------------------------------------ the notebook

    async def connect_notebook(
        self,
        ctx: Context,
        notebook_id: Annotated[
            str | None,
            Field(description="A name or id: created if there is none, joined if others have it open."),
        ] = None,
        path: Annotated[
            str | None,
            Field(description="An .ipynb file, absolute or from the server's folder; created on the first save."),
        ] = None,
    ) -> CallToolResult:
        """Work in this notebook from now on; everybody connected to it shares its cells and its kernel.

        Give exactly one of notebook_id and path. Replaces the current connection; kernels go on running.
        """
        session = await self._connection.connect(notebook_named(notebook_id, path), _caller(ctx))
        return answer(await session.kernel_status())

    async def disconnect_notebook(self) -> CallToolResult:
        """Leave the notebook. Its kernel and its cells stay for the others, and for when you connect again."""
        return answer({"connected": False, "notebook_id": await self._connection.disconnect()})

    async def list_notebooks(self) -> CallToolResult:
        """List the notebooks that are live now: who is in them, whether they have a kernel, their path."""
        return answer(await rooms())

    # ------------------------------------------------------------------ the kernel

    async def start_kernel(
        self,
        ctx: Context,
        kernel_type: Annotated[Literal["python", "deno"], Field(description="The language.")] = "python",
        env_source: Annotated[
            str,
            Field(
                description='"auto": what the notebook or its project asks for, else "prewarmed" (numpy, pandas, '
                'matplotlib). Or by name: "uv:inline", "uv:pyproject", "conda:inline", "kernelspec:NAME" and so on. '
                "The first start installs what is missing."
            ),
        ] = "auto",
        dependencies: Annotated[
            list[str] | None,
            Field(description='Packages to install, as ["polars>=1", "duckdb"]; the notebook keeps them.'),
        ] = None,
    ) -> CallToolResult:
        """Start the notebook's kernel. If it has one already that one stays, and the answer says which it is."""
        async with self._connection.use() as session:
            starting = session.start_kernel(kernel_type, env_source, dependencies=dependencies or ())
            kernel = await told(ctx, session, starting)
        not_applied = _not_applied(kernel, kernel_type, env_source, dependencies or ())
        return answer({"kernel_started": True, **kernel._asdict()} | not_applied)

    async def shutdown_kernel(self) -> CallToolResult:
        """End the kernel, for everybody in the notebook: its variables are lost, cells and outputs stay."""
        async with self._connection.use() as session:
            await session.shutdown_kernel()
        return answer({"kernel_started": False})

    async def interrupt_kernel(self) -> CallToolResult:
        """Interrupt the running cell (KeyboardInterrupt); what its sender queued behind it is cancelled."""
        async with self._connection.use() as session:
            await session.interrupt()
        return answer({"interrupted": True})

    async def get_kernel_status(self) -> CallToolResult:
        """Tell which notebook is connected, and what its kernel is doing: status, executing cell, queue."""
        return answer(await status(self._connection))

    # ------------------------------------------------------------------ cells

    async def create_cell(
        self,
        source: Source,
        cell_type: Annotated[
            Literal["code", "markdown", "raw"], Field(description="Only code can be executed.")
        ] = "code",
        index: Annotated[int | None, Field(ge=0, description="Where, counted from 0; at the end if left out.")] = None,
    ) -> CallToolResult:
        """Add a cell without running it, and return its id."""
        async with self._connection.use() as session:
            return answer_text(await session.create_cell(source, cell_type, index))

    async def set_cell_source(self, cell_id: CellId, source: Source) -> CallToolResult:
        """Replace a cell's text. Only what differs is written, so what others type meanwhile is kept."""
        async with self._connection.use() as session:
            await session.set_source(cell_id, source)
        return answer({"cell_id": cell_id, "updated": True})

    async def get_cell(self, cell_id: CellId) -> CallToolResult:
        """Read a cell: its text, and the outputs of its last execution as they stand now."""
        async with self._connection.use() as session:
            cell = await session.get_cell(cell_id)
        reading = Reading()
        return reading.answer(reading.cell(cell))

    async def get_all_cells(self) -> CallToolResult:
        """Read all cells in the notebook's order, with their ids, text and outputs."""
        async with self._connection.use() as session:
            cells = await session.get_cells()
        reading = Reading()
        return reading.answer([reading.cell(cell) for cell in cells])

    async def delete_cell(self, cell_id: CellId) -> CallToolResult:
        """Delete a cell and its outputs. The variables it made stay in the kernel."""
        async with self._connection.use() as session:
            await session.delete_cell(cell_id)
        return answer({"cell_id": cell_id, "deleted": True})

    # ------------------------------------------------------------------ execution

    async def execute_cell(self, ctx: Context, cell_id: CellId, timeout_secs: Timeout = 60.0) -> CallToolResult:
        """Run a cell as the notebook has it, starting a kernel if there is none; returns what it put out.

        An error raised by the code is a result: success is false, and error has the traceback.
        """
        async with self._connection.use() as session:
            note = await _note_of_start(session)
            result = await told(ctx, session, _so_far(session.execute_cell(cell_id, timeout_secs)))
        return _executed(result, note)

    async def run_code(
        self,
        ctx: Context,
        code: Annotated[str, Field(description="Source in the kernel's language; the last expression is shown.")],
        timeout_secs: Timeout = 60.0,
    ) -> CallToolResult:
        """Add a cell at the end and run it, starting a kernel if there is none; returns what it put out.

        An error raised by the code is a result: success is false, and error has the traceback.
        """
        async with self._connection.use() as session:
            note = await _note_of_start(session)
            result = await told(ctx, session, _so_far(session.run(code, timeout_secs)))
        return _executed(result, note)


async def rooms() -> list[dict[str, Any]]:
    """The live rooms of all daemons that connect_notebook could go to; none is started to say that there are none."""
    return await asyncio.to_thread(_rooms)


def _rooms() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for socket_path in find_all():
        with contextlib.suppress(DaemonNotRunning):
            found += DaemonClient(socket_path).list_rooms()
    return found


async def status(connection: Connection) -> dict[str, Any]:
    """Of the connected notebook; without one that is the answer, and no error."""
    if (session := await connection.in_use()) is not None:
        return await session.kernel_status()
    return {
        "notebook_id": None,
        "path": None,
        "daemon": await asyncio.to_thread(_daemon),
        "connected": False,
        "kernel_started": False,
        "kernel_type": None,
        "env_source": None,
        "status": "not_connected",
        "executing": None,
        "queue": [],
    }


def _daemon() -> str | None:
    try:
        return str(find())
    except DaemonNotRunning:  # nteract's is wanted: there is none
        return None


# ------------------------------------------------------------------ the table


class Offer(NamedTuple):
    """How a tool is announced, beside what its signature and docstring say."""

    call: Callable[..., Awaitable[CallToolResult]]
    title: str
    annotations: ToolAnnotations
    meta: dict[str, Any] | None = None


def _hints(
    *, reads: bool = False, destroys: bool = False, idempotent: bool = False, world: bool = False
) -> ToolAnnotations:
    return ToolAnnotations(
        read_only_hint=reads, destructive_hint=destroys, idempotent_hint=idempotent or reads, open_world_hint=world
    )


# Hosts that load tools on demand have these three at once (notes: MCP §3, worth copying).
_ENTRANCE: Final = {"anthropic/alwaysLoad": True}


def offers(tools: Tools) -> list[Offer]:
    return [
        Offer(tools.connect_notebook, "Connect to a notebook", _hints(idempotent=True), _ENTRANCE),
        Offer(tools.disconnect_notebook, "Leave the notebook", _hints(idempotent=True)),
        Offer(tools.list_notebooks, "List live notebooks", _hints(reads=True)),
        Offer(tools.start_kernel, "Start the kernel", _hints(idempotent=True, world=True)),
        Offer(tools.shutdown_kernel, "Shut the kernel down", _hints(destroys=True, idempotent=True)),
        Offer(tools.interrupt_kernel, "Interrupt the kernel", _hints(destroys=True, idempotent=True)),
        Offer(tools.get_kernel_status, "Kernel status", _hints(reads=True)),
        Offer(tools.create_cell, "Create a cell", _hints()),
        Offer(tools.set_cell_source, "Set a cell's source", _hints(destroys=True, idempotent=True)),
        Offer(tools.get_cell, "Read a cell", _hints(reads=True)),
        Offer(tools.get_all_cells, "Read all cells", _hints(reads=True), _ENTRANCE),
        Offer(tools.delete_cell, "Delete a cell", _hints(destroys=True, idempotent=True)),
        Offer(tools.execute_cell, "Execute a cell", _hints(destroys=True, world=True)),
        Offer(tools.run_code, "Run code in a new cell", _hints(destroys=True, world=True), _ENTRANCE),
    ]


# ------------------------------------------------------------------ inside


async def _so_far(work: Awaitable[ExecutionResult]) -> ExecutionResult:
    """The result, or what there is of it when the wait is over."""
    try:
        return await work
    except ExecutionTimeout as late:
        if late.result is None:
            raise
        return late.result


def _executed(result: ExecutionResult, note: dict[str, str]) -> CallToolResult:
    reading = Reading()
    return reading.answer(reading.execution(result) | note)


async def _note_of_start(session: AsyncSession) -> dict[str, str]:
    """What an agent must hear when running code starts a kernel where there was one before.

    Only then are the cells looked at: a kernel that never ran any has left no variables behind.
    """
    if await session.kernel_started() or (await session.kernel_status())["status"] not in ("shutdown", "error"):
        return {}
    ran = any(cell.execution_count is not None for cell in await session.get_cells())
    return {"note": NEW_KERNEL} if ran else {}


def _not_applied(kernel: Any, kernel_type: str, env_source: str, dependencies: Sequence[str]) -> dict[str, str]:
    """What was asked of a kernel that is another one, and how to get it."""
    asked = {"kernel_type": kernel_type, "env_source": env_source}
    other = [f"{name} {value!r}" for name, value in asked.items() if value not in ("auto", getattr(kernel, name))]
    other += [f"dependencies {list(dependencies)!r}"] * bool(dependencies)
    if not kernel.already_running or not other:
        return {}
    said = f"The notebook had a kernel already, which stays: {' and '.join(other)} not applied."
    return {"note": f"{said} For another kernel call shutdown_kernel first, which ends this one for everybody."}


def _caller(ctx: Context) -> str:
    """What others see beside this agent's edits."""
    client = ctx.session.client_params
    return client.client_info.name if client and client.client_info else "mcp"
