"""``runt demo``: what an agent does with us, done by a real MCP client before your eyes, table and plot included."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtimed.cli import console
from runtimed.errors import ConnectionLost, NotAvailable, RequestError, RuntimedError

if TYPE_CHECKING:
    from mcp import Client
    from rich.console import Console
    from rich.progress import Progress, TaskID

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
    notebook = _fresh_name()
    results = asyncio.run(_perform(where, notebook))
    for line in results.texts:
        console.say(f"\n{line}")
    _keep(out, notebook, where / DATA, results.images)


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


async def _perform(folder: Path, notebook: str) -> Results:
    from mcp import Client, MCPError, StdioServerParameters

    # The SDK hands its server a bare environment; ours must hear of RUNTIMED_SOCKET_PATH and the like.
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "runtimed._mcp_server"],
        cwd=folder,
        env=dict(os.environ) | {"RUNTIMED_DAEMON": "own"},
    )
    results = Results()
    with _progress() as progress:
        try:
            async with Client(server) as client:
                # Raised inside, the client's task groups would wrap it in groups of their own.
                try:
                    await _analyse(Agent(client, progress), notebook, results)
                except RuntimedError as exc:
                    results.failure = exc
        except* MCPError as lost:
            results.failure = ConnectionLost(
                f"The MCP server ended: {lost.exceptions[0]}", hint="its words stand above"
            )
    if results.failure:
        raise results.failure
    return results


async def _analyse(agent: Agent, notebook: str, results: Results) -> None:
    await agent.call(f"connect to {notebook}", "connect_notebook", notebook_id=notebook)
    await agent.call("start a kernel", "start_kernel", kernel_type="python", env_source="uv:prewarmed")
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
            self._progress.update(task, description=message or title)

        answer = await self._client.call_tool(tool, arguments, START_TIMEOUT, shown)
        if answer.is_error:
            raise RequestError(f"{tool}: {' '.join(getattr(block, 'text', '') for block in answer.content)}")
        self._done(task, title)
        return list(answer.content)

    def _done(self, task: TaskID, title: str) -> None:
        self._progress.update(task, description=title, total=1, completed=1)
        self._progress.stop_task(task)


def _progress(shown_on: Console | None = None) -> Progress:
    """A line a call; where the terminal is narrow the words give way, never the spinner nor the seconds."""
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Words(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(task.description, no_wrap=True, overflow="ellipsis")

    return Progress(
        SpinnerColumn(finished_text="[green]✓[/green]", table_column=Column(no_wrap=True)),
        TextColumn("[cyan]{task.fields[tool]:<17}[/cyan]", table_column=Column(no_wrap=True)),
        Words(),
        TextColumn("{task.elapsed:.1f} s", justify="right", table_column=Column(min_width=7, no_wrap=True)),
        console=shown_on or console.console(),
    )


def _fresh_name() -> str:
    """A notebook of this run's own: the demo shuts its kernel down, and nobody else's."""
    return f"demo-{secrets.token_hex(2)}"


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


def _keep(out: Path, notebook: str, data: Path, images: list[bytes]) -> None:
    from runtimed import DaemonClient, default_socket_path
    from runtimed.cli.notebook import write

    _prepare(out, data)
    if images:
        (out / "scatter.png").write_bytes(images[-1])
        console.say(f"\nthe plot:     {out / 'scatter.png'}")
    write(out / f"{notebook}.ipynb", DaemonClient(default_socket_path()).export_notebook(notebook).encode())
    console.say(f"the notebook: {out / notebook}.ipynb")
    console.say("the daemon goes on serving; stop it with: runt daemon stop")


def _prepare(out: Path, data: Path) -> None:
    """The notebook reads its data from beside itself. In a folder that was there before nothing is replaced."""
    if not out.exists():
        out.mkdir(parents=True)
        (out / ".gitignore").write_text("*\n")
    if not (out / DATA).exists():
        shutil.copyfile(data, out / DATA)
