"""uv: one child process a step, its progress told, its failure classified, gone when we are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.environments.indexes import IndexSettings, index_settings, withhold
from runtimed.environments.progress import UvReader
from runtimed.errors import EnvError, InstallError, SolveError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runtimed.environments.progress import OnProgress

    Told = Callable[[str], None]  # gets each line of stderr

__all__ = ["Uv", "classify", "find_uv", "run"]

TIMEOUT = 900.0
ASK_S = 60.0  # for what needs no network
TAIL = 40  # lines of stderr that an error may show
LINE_LIMIT = 1 << 20

# The daemon's own surroundings, which must not decide what a layer is.
_DROPPED = frozenset({
    "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX",
    "UV_LINK_MODE", "UV_NO_PROGRESS", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON", "UV_WORKING_DIR", "UV_QUIET",
})  # fmt: skip

_NETWORK = (
    "client error (connect)",
    "error sending request",
    "dns error",
    "timed out",
    "failed to fetch",
    "certificate",
)
_NO_SOLUTION = ("no solution found", "couldn't parse requirement", "failed to parse", "unsatisfiable")


def find_uv() -> str:
    """The uv that came with us (PyPI wheel), else the one on PATH."""
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin  # only where an environment is built

        return os.fsdecode(find_uv_bin())
    if found := shutil.which("uv"):
        return found
    raise ToolMissing("uv was not found; it builds the Python environments", hint="pip install uv")


@dataclass(frozen=True, slots=True)
class Uv:
    """uv with a cache of our own (user code could spoil a shared one through hard links) and the user's indexes."""

    binary: str
    cache: Path
    settings: IndexSettings

    @classmethod
    def locate(cls, cache: Path) -> Uv:
        return cls(find_uv(), cache, index_settings(os.environ, Path.home()))

    def environ(self) -> dict[str, str]:
        own = {"UV_CACHE_DIR": str(self.cache), "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}
        inherited = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        return inherited | dict(self.settings.variables) | own

    def indexes(self) -> frozenset[str]:
        """Where the user's configuration takes packages from, as a uv.lock writes it. For a thread."""
        arguments = ["-q", "--offline", "--no-header", "--emit-index-url", "--emit-find-links", "-p", sys.executable]
        argv = [self.binary, "pip", "compile", *arguments, "-", *self.settings.arguments]
        try:
            asked = subprocess.run(
                argv, env=self.environ(), cwd="/", input="", capture_output=True, text=True, check=False, timeout=ASK_S
            )
        except subprocess.TimeoutExpired as exc:
            raise InstallError(f"uv did not say within {ASK_S:g} s where packages come from", kind="timeout") from exc
        if asked.returncode:
            raise classify(asked.stderr)
        return frozenset(_without_login(line.partition(" ")[2]) for line in asked.stdout.splitlines() if line)

    async def resolve(
        self,
        packages: Iterable[str],
        python: Path,
        *,
        offline: bool,
        refresh: bool = False,
        constraints: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> str:
        """Requirements -> a lock: every package pinned, with hashes."""
        arguments = ["compile", "-q", "--no-header", "--no-annotate", "--generate-hashes", "-p", str(python), "-"]
        arguments += [*options, *["--offline"] * offline, *["--refresh"] * refresh]
        stdin = "\n".join(packages) + "\n"
        if not constraints:
            return await self._pip(arguments, stdin=stdin)
        pins = await asyncio.to_thread(_write_down, constraints)
        try:
            return await self._pip([*arguments, "-c", str(pins)], stdin=stdin)
        finally:
            await asyncio.to_thread(pins.unlink)

    async def install(
        self, lock: Path, prefix: Path, *, offline: bool, progress: OnProgress, options: Sequence[str] = ()
    ) -> None:
        """Exactly the lock into the venv at ``prefix``, compiled."""
        arguments = ["sync", "--require-hashes", "--compile-bytecode", "-p", str(prefix), *options, str(lock)]
        await self._pip([*arguments, *["--offline"] * offline], told=UvReader(progress).read)

    async def project(self, command: str, folder: Path, *options: str, progress: OnProgress | None = None) -> str:
        """One of uv's project commands. The project's own [tool.uv] counts, its environment is its own .venv."""
        no_index = [argument for argument in self.settings.arguments if argument == "--no-index"]
        argv = [self.binary, *command.split(), "--project", str(folder), *options]
        argv += no_index if command in ("lock", "sync") else []
        return await run(argv, env=self.environ(), cwd=folder, told=UvReader(progress).read if progress else None)

    async def make_venv(self, prefix: Path, python: Path) -> None:
        arguments = ["venv", "-q", "--relocatable", "--no-project", "-p", str(python), str(prefix)]
        await run([self.binary, "--no-config", *arguments], env=self.environ(), cwd=self.cache.parent)

    async def would_add(
        self, requirements: Iterable[str], python: Path, folder: Path, options: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """What these lines of pip's would bring into the environment of ``python``: name==version each."""
        said: list[str] = []
        arguments = ["install", "--dry-run", "-r", "-", "-p", str(python), *options]
        await self._pip(arguments, stdin=_lines(requirements), cwd=folder, told=said.append)
        return tuple(sorted(line.split()[1] for line in said if line.startswith(" + ")))

    async def add(
        self,
        requirements: Iterable[str],
        python: Path,
        folder: Path,
        *,
        progress: OnProgress,
        options: Sequence[str] = (),
    ) -> None:
        """These lines of pip's into the environment of ``python``, compiled; what is there and fits stays."""
        arguments = ["install", "--compile-bytecode", "-r", "-", "-p", str(python), *options]
        await self._pip(arguments, stdin=_lines(requirements), cwd=folder, told=UvReader(progress).read)

    async def _pip(
        self, arguments: list[str], *, stdin: str = "", cwd: Path | None = None, told: Told | None = None
    ) -> str:
        argv = [self.binary, "pip", *arguments, *self.settings.arguments]
        return await run(argv, env=self.environ(), cwd=cwd or self.cache.parent, stdin=stdin, told=told)


def _without_login(place: str) -> str:
    return re.sub(r"//[^/@]*@", "//", place)


def _write_down(lines: Iterable[str]) -> Path:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt", delete=False) as file:
        file.write("\n".join(lines))
    return Path(file.name)


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


async def run(argv: list[str], *, env: dict[str, str], cwd: Path, stdin: str = "", told: Told | None = None) -> str:
    """Its stdout, or the EnvError that its stderr amounts to. Whatever ends us ends it and its children."""
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, cwd=cwd, limit=LINE_LIMIT, start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    said: deque[str] = deque(maxlen=TAIL)
    try:
        async with asyncio.timeout(TIMEOUT):
            process.stdin.write(stdin.encode())
            process.stdin.close()
            async with asyncio.TaskGroup() as group:
                output = group.create_task(process.stdout.read())
                group.create_task(_read_lines(process.stderr, said, told))
            code = await process.wait()
    except TimeoutError as exc:
        raise _took_too_long(said) from exc
    finally:
        await _end(process)
    if code != 0:
        raise classify("\n".join(said) or f"exit code {code}")
    return output.result().decode()


def _took_too_long(said: deque[str]) -> InstallError:
    last = f"; the last it said was: {withhold(said[-1].strip())}" if said else ""
    return InstallError(
        f"building the environment took longer than {TIMEOUT:.0f} s and was stopped{last}",
        hint="try it once by hand, or leave out the package that takes so long",
        kind="timeout",
    )


async def _read_lines(stream: asyncio.StreamReader, said: deque[str], told: Told | None) -> None:
    async for raw in stream:
        line = raw.decode(errors="replace").rstrip()
        said.append(line)
        if told:
            told(line)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


def classify(stderr: str) -> EnvError:
    """uv's words -> our error. They are kept, less the addresses."""
    text = withhold(stderr.strip())
    lowered = stderr.lower()
    if "network was disabled" in lowered:
        hint = "connect to the network once"
        return InstallError(f"not all packages are in the cache: {text}", hint=hint, kind="network")
    if "hash mismatch" in lowered:
        hint = "lock again if the index is right to have another file than the lock file names"
        return InstallError(f"what was downloaded is not what was locked: {text}", hint=hint)
    if "no space left" in lowered or "disk quota" in lowered:
        hint = "free some space, then start the kernel again"
        return InstallError(f"the disk is full: {text}", hint=hint, kind="disk")
    if any(sign in lowered for sign in _NO_SOLUTION):
        return SolveError(f"the packages cannot be resolved: {text}", hint="correct the package list")
    if any(sign in lowered for sign in _NETWORK):
        hint = "check the network, and the index that pip's or uv's configuration names"
        return InstallError(f"the package index cannot be reached: {text}", hint=hint, kind="network")
    return InstallError(f"the environment could not be built: {text}")
