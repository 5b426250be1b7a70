"""TypeScript notebooks: real Deno kernels, alone and in rooms."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from listening import Listener, running
from ordering import an_order
from runtimed.client.sync import Session
from runtimed.daemon.launching import spec_of
from runtimed.environments import deno
from runtimed.environments.prepare import prepare
from runtimed.errors import ToolMissing
from serving import Daemon, until


def shown(session: Session, code: str) -> object:
    """What a cell's value looks like as text."""
    result = session.run(code)
    assert result.status == "done", result
    return result.display_data[-1].data["text/plain"]


SLOW = "await new Promise((done) => setTimeout(done, 60_000))"
SAYS_THAT_IT_WAITS = "setTimeout(() => console.log('in'), 10)"  # an interrupt ahead of SLOW's await leaves nothing deaf


@pytest.fixture
async def listener(tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / "deno.json").write_text('{"imports": {"mine": "./mine.ts"}}')
    (tmp_path / "mine.ts").write_text("export const answer: number = 42;\n")
    environment = await prepare(an_order(tmp_path / "store", tmp_path, "deno"))
    async with running(tmp_path / "run", await spec_of(environment, cwd=tmp_path)) as made:
        yield made


@pytest.mark.anyio
async def test_it_runs_typescript_in_its_folder(listener: Listener, tmp_path: Path) -> None:
    assert await listener.run("const x: number = 2; x + 40") == ("ok", "42")  # and not in colours
    assert await listener.run("import { answer } from 'mine'; answer") == ("ok", "42")  # by deno.json
    assert await listener.run("Deno.cwd() === " + repr(str(tmp_path))) == ("ok", "true")
    assert await listener.run("console.log('said')") == ("ok", "said\n")
    assert await listener.run("await Promise.resolve(7)") == ("ok", "7")


@pytest.mark.anyio
async def test_errors_are_shown_also_those_it_only_replies(listener: Listener) -> None:
    status, text = await listener.run("throw new TypeError('no such thing')")
    assert status == "error" and "no such thing" in text

    status, text = await listener.run("const = ;")
    assert status == "error" and text.startswith("Error: ")
    assert await listener.run("1 + 1") == ("ok", "2")


@pytest.mark.anyio
async def test_a_busy_loop_is_interrupted_and_the_state_stays(listener: Listener) -> None:
    await listener.run("let kept = 5")
    execution_id = listener.begin("console.log('in'); while (true) {}")
    await listener.said(execution_id, "in")

    await listener.kernel.interrupt()

    assert (await listener.finished(execution_id)).status == "error"
    assert await listener.run("kept") == ("ok", "5")


@pytest.mark.anyio
async def test_what_a_cell_puts_out_is_there_when_it_is_done(listener: Listener) -> None:
    # It says `idle` before the value, now and then.
    assert [await listener.run(f"{n} + 1") for n in range(30)] == [("ok", str(n + 1)) for n in range(30)]


@pytest.mark.anyio
async def test_every_line_is_there_and_is_its_own_cells(listener: Listener) -> None:
    """Deno says that it is done when it has sent a few hundred of them, and gives the next cell the rest."""
    lines = "".join(f"{n}\n" for n in range(5000))

    assert await listener.run("for (let n = 0; n < 5000; n++) console.log(n)") == ("ok", lines)
    assert await listener.run("console.log('next'); 42") == ("ok", "next\n42")
    assert await listener.run("for (let n = 0; n < 5000; n++) { console.log(n); await null }; 0") == ("ok", lines + "0")


def test_without_deno_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(__import__("sys").modules, "deno", None)

    with pytest.raises(ToolMissing, match=r'pip install "deno>=2"'):
        deno.find_deno()


# ------------------------------------------------------------------ in a room


def test_a_deno_notebook_says_so_and_is_one_again_when_it_is_opened(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()
    path = tmp_path / "ts.ipynb"
    with Session(str(path)) as session:
        session.start_kernel("deno")
        assert shown(session, "const a: number = 1; a + 1") == "2"
        session.save()
        notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec == {"name": "deno", "display_name": "Deno", "language": "typescript"}
    assert notebook.metadata.language_info.name == "typescript"

    daemon.shut(str(path))
    with Session(str(path)) as again:
        again.start_kernel()
        assert shown(again, "Deno.version.deno.length > 0") == "true"


def test_a_deno_that_an_interrupt_leaves_deaf_is_started_again(daemon: Daemon) -> None:
    daemon.start()
    with Session("deaf") as session:
        session.start_kernel("deno")
        loop = session.queue_cell(session.create_cell("console.log('loops'); while (true) {}"))
        until(lambda: any("loops" in (output.text or "") for cell in session.get_cells() for output in cell.outputs))
        session.interrupt()  # which it survives; the next comes while that is still watched
        assert session.wait_execution(loop).status == "error"
        waiting = session.queue_cell(session.create_cell(f"{SAYS_THAT_IT_WAITS}; {SLOW}"))
        behind = session.queue_cell(session.create_cell("'never'"))
        until(lambda: any("in" in (output.text or "") for cell in session.get_cells() for output in cell.outputs))
        session.interrupt()

        ended = session.wait_execution(waiting)

        assert ended.status == "error"
        assert "did not come back from the interrupt" in str(ended.error and ended.error.evalue)
        assert session.wait_execution(behind).status == "cancelled"
        assert shown(session, "40 + 2") == "42"
