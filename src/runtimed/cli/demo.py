"""``runt demo``: what an agent does with us, done by a real MCP client before your eyes, table and plot included."""

from __future__ import annotations

import base64
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtimed.cli import console
from runtimed.errors import ConnectionLost, NotAvailable, RequestError, RuntimedError

if TYPE_CHECKING:
    from mcp import Client
    from rich.progress import Progress, TaskID

NOTEBOOK = "data-analysis-2024"
DATA = "data.csv"
START_TIMEOUT = 900.0  # the first start downloads numpy, pandas and matplotlib

LOAD = f"""import matplotlib.pyplot as plt
import pandas as pd

df = pd.read_csv("{DATA}")
print(len(df), "rows")"""
SUMMARY = "# Summary statistics\ndf.describe()"
SCATTER = 'df.plot.scatter(x="x", y="y", c="temperature", colormap="viridis")\nplt.show()'


def demo(
    folder: Annotated[Path | None, typer.Option(help=f"The folder that holds {DATA}; default: ./notebooks.")] = None,
    out: Annotated[Path, typer.Option(help="Put the plot and the notebook here.")] = Path("demo-output"),
) -> None:
    """Let an agent analyse data.csv in a shared notebook: kernel, pandas, a table, a plot."""
    if find_spec("mcp") is None:
        raise NotAvailable("The demo talks MCP, and the mcp package is not here", hint="pip install '.[mcp]'")
    import asyncio

    where = _data_folder(folder)
    results = asyncio.run(_perform(where))
    for line in results.texts:
        console.say(f"\n{line}")
    _keep(out, results.images)


class Results:
    """What came back, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.images: list[bytes] = []
        self.failure: RuntimedError | None = None

    def take(self, content: list[Any]) -> dict[str, Any]:
        """The result dict is the first text of every answer; images stand beside it."""
        result: dict[str, Any] = json.loads(content[0].text)
        if result["success"] is not True:
            raise RequestError(f"The cell did not end well: {_reason(result)}")
        self.texts += [text for text in map(_text, result["outputs"]) if text]
        self.images += [base64.b64decode(block.data) for block in content if block.type == "image"]
        return result


async def _perform(folder: Path) -> Results:
    from mcp import Client, MCPError, StdioServerParameters

    # The SDK hands its server a bare environment; ours must hear of RUNTIMED_SOCKET_PATH and the like.
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "runtimed._mcp_server"], cwd=folder, env=dict(os.environ)
    )
    results = Results()
    with _progress() as progress:
        try:
            async with Client(server) as client:
                # Raised inside, the client's task groups would wrap it in groups of their own.
                try:
                    await _analyse(Agent(client, progress), results)
                except RuntimedError as exc:
                    results.failure = exc
        except* MCPError as lost:
            results.failure = ConnectionLost(
                f"The MCP server ended: {lost.exceptions[0]}", hint="its words stand above"
            )
    if results.failure:
        raise results.failure
    return results


async def _analyse(agent: Agent, results: Results) -> None:
    await agent.call("connect to the notebook", "connect_notebook", notebook_id=NOTEBOOK)
    await agent.call(
        "start a kernel (installs its packages once)",
        "start_kernel",
        kernel_type="python",
        env_source="uv:prewarmed",
    )
    results.take(await agent.call("load the data", "run_code", code=LOAD))
    created = await agent.call("write a cell", "create_cell", source=SUMMARY)
    results.take(await agent.call("run that cell", "execute_cell", cell_id=created[0].text))
    results.take(await agent.call("plot", "run_code", code=SCATTER))
    await agent.call("shut the kernel down", "shutdown_kernel")


class Agent:
    """Calls tools, and shows each call while it lasts."""

    def __init__(self, client: Client, progress: Progress) -> None:
        self._client = client
        self._progress = progress

    async def call(self, title: str, tool: str, **arguments: Any) -> list[Any]:
        task = self._progress.add_task(title, total=None, tool=tool)

        async def shown(progress: float, total: float | None, message: str | None) -> None:
            self._progress.update(task, description=f"{title}: {message}" if message else title)

        answer = await self._client.call_tool(tool, arguments, START_TIMEOUT, shown)
        if answer.is_error:
            raise RequestError(f"{tool}: {' '.join(getattr(block, 'text', '') for block in answer.content)}")
        self._done(task, title)
        return list(answer.content)

    def _done(self, task: TaskID, title: str) -> None:
        self._progress.update(task, description=title, total=1, completed=1)
        self._progress.stop_task(task)


def _progress() -> Progress:
    from rich.progress import Progress, SpinnerColumn, TextColumn
    from rich.table import Column

    return Progress(
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("[cyan]{task.fields[tool]:<17}[/cyan]"),
        TextColumn("{task.description}"),
        TextColumn("{task.elapsed:.1f} s", justify="right", table_column=Column(min_width=7, no_wrap=True)),
        console=console.console(),
    )


def _data_folder(named: Path | None) -> Path:
    for folder in [named] if named else [Path("notebooks"), Path()]:
        if (folder / DATA).is_file():
            return folder.resolve()
    raise RequestError(
        f"No {DATA} in {named or 'notebooks'}", hint="run it in the clone, or name the folder: --folder DIR"
    )


def _text(output: dict[str, Any]) -> str:
    data = output.get("data") or {}
    if "image/png" in data:  # its text says "<Figure size …>", the file says more
        return ""
    return str(output.get("text") or data.get("text/plain") or "").rstrip()


def _reason(result: dict[str, Any]) -> str:
    error = result.get("error")
    return f"{error['ename']}: {error['evalue']}" if error else str(result["status"])


def _keep(out: Path, images: list[bytes]) -> None:
    from runtimed import DaemonClient
    from runtimed.cli.notebook import write

    out.mkdir(parents=True, exist_ok=True)
    (out / ".gitignore").write_text("*\n")
    if images:
        (out / "scatter.png").write_bytes(images[-1])
        console.say(f"\nthe plot:     {out / 'scatter.png'}")
    write(out / f"{NOTEBOOK}.ipynb", DaemonClient().export_notebook(NOTEBOOK))
    console.say(f"the notebook: {out / NOTEBOOK}.ipynb")
    console.say("the daemon goes on serving; stop it with: runt daemon stop")
