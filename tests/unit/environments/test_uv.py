from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from runtimed.environments.indexes import IndexSettings
from runtimed.environments.progress import Progress, UvReader
from runtimed.environments.uv import Uv, classify, find_uv, run
from runtimed.errors import EnvError, InstallError, SolveError, ToolMissing


async def python(code: str, **more: object) -> str:
    return await run([sys.executable, "-c", code], env=dict(os.environ), cwd=Path("/"), **more)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_what_a_child_says_is_returned_and_its_stdin_is_given() -> None:
    assert await python("print(input() + ' é')", stdin="given\n") == "given é\n"


@pytest.mark.anyio
async def test_its_progress_is_told_while_it_goes_on() -> None:
    seen: list[Progress] = []

    await python("import sys; sys.stderr.write('Resolved 2 packages in 1s\\n' * 3)", told=UvReader(seen.append).read)

    assert [step.total for step in seen] == [2, 2, 2]


@pytest.mark.anyio
async def test_a_failure_is_an_error_with_the_end_of_what_it_said() -> None:
    with pytest.raises(InstallError) as caught:
        await python("import sys; [sys.stderr.write(f'line {n}\\n') for n in range(1000)]; sys.exit(2)")

    assert "line 999" in caught.value.message and "line 900" not in caught.value.message


@pytest.mark.anyio
async def test_a_failure_without_a_word_names_the_exit_code() -> None:
    with pytest.raises(InstallError, match="exit code 3"):
        await python("raise SystemExit(3)")


@pytest.mark.anyio
async def test_cancelling_ends_the_child_and_its_children() -> None:
    pids: list[int] = []
    told = asyncio.Event()

    def note(step: Progress) -> None:
        pids.append(step.total or 0)
        if len(pids) == 2:
            told.set()

    code = """
import os, sys, time
os.fork()
sys.stderr.write(f"Resolved {os.getpid()} packages in 1s\\n")
sys.stderr.flush()
time.sleep(1000)
"""
    task = asyncio.create_task(python(code, told=UvReader(note).read))
    await told.wait()
    processes = [psutil.Process(pid) for pid in pids]

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    gone, alive = await asyncio.to_thread(psutil.wait_procs, processes, 10)
    assert not alive, gone


@pytest.mark.anyio
async def test_what_takes_too_long_is_ended_and_its_last_words_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimed.environments.uv.TIMEOUT", 2.0)
    hangs = ["sh", "-c", "echo '   Building slow-package @ file:///p' >&2; exec sleep 99"]

    with pytest.raises(InstallError, match=r"longer than 2 s.*Building slow-package") as raised:
        await run(hangs, env=dict(os.environ), cwd=Path("/"))

    assert raised.value.kind == "timeout"


@pytest.mark.parametrize(
    ("said", "error", "means"),
    [
        ("No solution found when resolving\n Because xyz was not found in the package registry", SolveError, "xyz"),
        ("error: Couldn't parse requirement in `-` at position 0", SolveError, "parse"),
        ("No solution found\nhint: the network was disabled", InstallError, "cache"),
        ("Failed to fetch: `https://a:secret@h.test/numpy/`\n tcp connect error", InstallError, "cannot be reached"),
        ("error: failed to write: No space left on device (os error 28)", InstallError, "disk is full"),
        ("Hash mismatch for `wcwidth==0.9.4`", InstallError, "not what was locked.*Hash mismatch"),
    ],
)
def test_uvs_words_become_the_error_they_amount_to(said: str, error: type[EnvError], means: str) -> None:
    found = classify(said)

    assert type(found) is error
    with pytest.raises(error, match=f"(?s){means}"):
        raise found
    assert "secret" not in str(found) and "h.test" not in str(found)


def test_the_child_gets_the_indexes_but_not_the_daemons_own_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    monkeypatch.setenv("UV_CACHE_DIR", "/shared/cache")
    uv = Uv("uv", tmp_path, IndexSettings({"UV_INDEX": "https://one.test"}))

    environ = uv.environ()

    assert environ["UV_INDEX"] == "https://one.test"
    assert environ["UV_CACHE_DIR"] == str(tmp_path)
    assert not {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"} & environ.keys()
    assert environ["PATH"] == os.environ["PATH"]


def test_uv_comes_with_us_else_from_the_path_else_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(find_uv()).exists()

    monkeypatch.setitem(sys.modules, "uv", None)  # as if the wheel were not installed
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="pip install uv"):
        find_uv()
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)

    assert find_uv() == str(tmp_path / "uv")
