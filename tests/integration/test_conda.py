"""conda and pixi environments from a real channel: each source gives a kernel that imports what was asked for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import rattler

from listening import Listener, running
from ordering import an_order
from runtimed.daemon.launching import spec_of
from runtimed.docs.declared import Declared, declared_in
from runtimed.environments.conda import Conda
from runtimed.environments.environment import Environment
from runtimed.environments.prepare import flush, prepare
from runtimed.environments.progress import Progress
from runtimed.errors import InstallError, SolveError

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

WHICH = "import greeting; print(greeting.VERSION, end='')"
BUILDER = """
import asyncio, signal, sys
from pathlib import Path
from runtimed.environments.condaspec import CondaSpec
from runtimed.environments.layers import LayerStore
from runtimed.environments.prefixes import find_prefix

spec = CondaSpec(specs=(), channels=(sys.argv[2],))
def progress(step):
    print(step.phase, flush=True)
    if step.phase == "installing":
        while True:
            signal.pause()  # for the kill
asyncio.run(find_prefix(spec, store=LayerStore(Path(sys.argv[1])), progress=progress))
"""
Build = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def build(store: Path, channel: str, tmp_path: Path) -> Build:
    async def built(source: str, **more: Any) -> Environment:
        order = await asyncio.to_thread(an_order, store, tmp_path, source, **{"channels": [channel], **more})
        return await prepare(order)

    return built


@pytest.fixture
def kernel_of(tmp_path: Path) -> Callable[[Environment], AbstractAsyncContextManager[Listener]]:
    @asynccontextmanager
    async def started(environment: Environment) -> AsyncIterator[Listener]:
        async with running(tmp_path / "run", await spec_of(environment, cwd=tmp_path)) as listener:
            yield listener

    return started


def asks(*packages: str) -> Declared:
    return declared_in({"runt": {"conda": {"dependencies": list(packages)}}})


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """By HTTP, as channels mostly are; nobody answers when the block is left."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


async def said(environment: Environment, code: str) -> str:
    """What its Python prints, started as a kernel is: for all that needs no kernel."""
    process = await asyncio.create_subprocess_exec(
        *(environment.argv[0], "-c", code), env=os.environ | environment.env, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()


async def test_prewarmed_starts_a_kernel_with_the_default_packages(build: Build, kernel_of: Any) -> None:
    seen: list[Progress] = []
    environment = await build("conda:prewarmed", packages=["greeting"], progress=seen.append)

    async with kernel_of(environment) as listener:
        assert await listener.run(WHICH) == ("ok", "2.0")
        layer = environment.layers[0].path
        code = "import os, sys; print(sys.base_prefix, os.environ['CONDA_PREFIX'], os.environ['GREETING'], end='')"
        assert await listener.run(code) == ("ok", f"{layer} {layer} {layer}")
    phases = list(dict.fromkeys(step.phase for step in seen))
    assert phases[0] == "resolving" and phases[-1] == "ready"
    assert {"downloading", "installing", "compiling", "checking"} <= set(phases)
    assert "greeting==2.0" in environment.pinned


async def test_what_is_known_needs_neither_channel_nor_time(build: Build) -> None:
    first = await build("conda:prewarmed", packages=["greeting"])

    def nothing(step: Progress) -> None:
        pytest.fail(f"there was something to do: {step}")

    again = await build("pixi:prewarmed", packages=["greeting"], progress=nothing)

    assert again.layers == first.layers


async def test_a_default_package_that_is_misspelt_is_left_out_and_named(build: Build) -> None:
    environment = await build("conda:prewarmed", packages=["gretting", "greeting"])

    assert environment.packages == ("greeting",)
    assert environment.shortfall is not None
    assert (environment.shortfall.package, environment.shortfall.kind) == ("gretting", "invalid_package")
    assert await said(environment, WHICH) == "2.0"


async def test_inline_dependencies_come_from_the_notebooks_metadata(build: Build, kernel_of: Any) -> None:
    declared = declared_in({"runt": {"conda": {"dependencies": ["greeting<2"], "python": "3"}}})
    environment = await build("conda:inline", declared=declared)

    async with kernel_of(environment) as listener:
        assert await listener.run(WHICH) == ("ok", "1.0")
        compiled = "import greeting, pathlib; print(pathlib.Path(greeting.__cached__).is_file(), end='')"
        assert await listener.run(compiled) == ("ok", "True")
        assert (await listener.run("%pip --version"))[0] == "ok"


async def test_pixi_inline_takes_packages_of_both_kinds(build: Build, kernel_of: Any) -> None:
    declared = declared_in({"runt": {"pixi": {"dependencies": ["greeting"], "pypi_dependencies": ["six==1.17.0"]}}})
    environment = await build("pixi:inline", declared=declared)

    async with kernel_of(environment) as listener:
        assert await listener.run("import six, greeting; print(six.__version__, end='')") == ("ok", "1.17.0")
    assert {"six==1.17.0", "greeting==2.0"} <= set(environment.pinned)


async def test_environment_yml_with_its_pip_section(build: Build, tmp_path: Path, kernel_of: Any) -> None:
    (tmp_path / "requirements.txt").write_text("six==1.17.0\n")
    (tmp_path / "environment.yml").write_text(
        "name: theirs\nprefix: /nowhere\nvariables: {SAID: 'by the file'}\n"
        "dependencies: [greeting>1, pip, {pip: [-r requirements.txt, greeting]}]\n"
    )
    seen: list[Progress] = []
    environment = await build("conda:env_yml", folder=tmp_path, progress=seen.append)

    async with kernel_of(environment) as listener:
        code = "import os, six, greeting; print(six.__version__, greeting.VERSION, os.environ['SAID'], end='')"
        assert await listener.run(code) == ("ok", "1.17.0 2.0 by the file")
    assert any("prefix: in environment.yml is ignored" in step.message for step in seen)


async def test_pixi_toml_without_a_lock(build: Build, channel: str, tmp_path: Path) -> None:
    (tmp_path / "pixi.toml").write_text(
        f"[workspace]\nchannels = ['{channel}']\nplatforms = []\n[dependencies]\ngreeting = '1.*'\n"
    )
    environment = await build("pixi:toml", channels=["nowhere"], folder=tmp_path)

    assert await said(environment, WHICH) == "1.0"


async def test_pixi_lock_is_kept(build: Build, channel: str, tmp_path: Path, kernel_of: Any) -> None:
    (tmp_path / "pixi.toml").write_text(f"[workspace]\nchannels = ['{channel}']\n[dependencies]\ngreeting = '*'\n")
    records = await rattler.solve([channel], ["greeting <2", "python"])  # what somebody locked before there was 2.0
    platform = rattler.LockPlatform(str(rattler.Subdir.current()))
    lock = rattler.LockFile([platform])
    lock.set_channels("default", [rattler.LockChannel(channel)])
    for record in records:
        lock.add_conda_package("default", platform, record)
    lock.to_path(tmp_path / "pixi.lock")
    before = (tmp_path / "pixi.lock").read_bytes()

    environment = await build("pixi:toml", folder=tmp_path)

    async with kernel_of(environment) as listener:
        assert await listener.run(WHICH) == ("ok", "1.0")
    assert (tmp_path / "pixi.lock").read_bytes() == before


async def test_a_pypi_package_is_the_very_file_that_was_locked(build: Build, channel: str, tmp_path: Path) -> None:
    (tmp_path / "pixi.toml").write_text(f"[workspace]\nchannels = ['{channel}']\n[pypi-dependencies]\nsix = '*'\n")
    place = "https://files.pythonhosted.org/packages/six-1.16.0-py2.py3-none-any.whl"
    lock = (
        f"version: 6\nenvironments: {{default: {{channels: [{{url: '{channel}'}}], "
        f"packages: {{{rattler.Subdir.current()}: [{{pypi: '{place}'}}]}}}}}}\n"
        f"packages: [{{pypi: '{place}', name: six, version: 1.16.0, sha256: %s}}]\n"
    )
    (tmp_path / "pixi.lock").write_text(lock % ("0" * 64))
    with pytest.raises(InstallError, match="not what was locked"):
        await build("pixi:toml", folder=tmp_path)

    (tmp_path / "pixi.lock").write_text(lock % "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254")
    environment = await build("pixi:toml", folder=tmp_path)

    assert "six==1.16.0" in environment.pinned


async def test_a_lock_that_no_longer_fits_is_resolved_anew_and_said(build: Build, channel: str, tmp_path: Path) -> None:
    (tmp_path / "pixi.toml").write_text(f"[workspace]\nchannels = ['{channel}']\n[dependencies]\ngreeting = '2.*'\n")
    platform = rattler.LockPlatform(str(rattler.Subdir.current()))
    lock = rattler.LockFile([platform])
    for record in await rattler.solve([channel], ["greeting <2"]):
        lock.add_conda_package("default", platform, record)
    lock.to_path(tmp_path / "pixi.lock")
    seen: list[Progress] = []

    environment = await build("pixi:toml", folder=tmp_path, progress=seen.append)

    assert "greeting==2.0" in environment.pinned
    assert any("does not fit its manifest" in step.message for step in seen)


# ------------------------------------------------------------------ what can be wrong


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        (["gretting"], "No candidates were found for gretting"),
        (["greeting>2"], "No candidates were found for greeting >2"),
        (["picky", "greeting>1"], "greeting <2"),
        (["greeting=="], "'greeting==' is no conda package"),
    ],
)
async def test_what_cannot_be_solved_says_the_solvers_reason(build: Build, packages: list[str], reason: str) -> None:
    declared = asks(*packages)

    with pytest.raises(SolveError, match=reason):
        await build("conda:inline", declared=declared)


async def test_a_kernel_that_would_not_import_is_found_out_while_building(build: Build, store: Path) -> None:
    declared = asks("saboteur")

    with pytest.raises(InstallError, match="a kernel cannot start from these packages"):
        await build("conda:inline", declared=declared)
    assert list((store / "tmp").iterdir()) == []


@pytest.mark.parametrize(("place", "reason"), [("http://127.0.0.1:9/c", "reached"), ("file:///no/channel", "be read")])
async def test_a_channel_that_cannot_be_had_says_so(build: Build, place: str, reason: str) -> None:
    with pytest.raises(InstallError, match=f"a conda channel cannot .*{reason}"):
        await build("conda:prewarmed", channels=[place])


async def test_a_stale_environment_bridges_a_channel_that_is_gone(channel: str, tmp_path: Path) -> None:
    link = tmp_path / "channel"
    link.symlink_to(channel.removeprefix("file://"))
    order = an_order(tmp_path / "store", tmp_path, "conda:prewarmed", channels=[link.as_uri()], packages=["greeting"])
    before = await prepare(order)
    link.unlink()
    await flush(tmp_path / "store")

    again = await prepare(order)

    assert again.layers == before.layers


async def test_without_a_network_what_was_fetched_once_serves(channel: str, tmp_path: Path) -> None:
    conda = Conda(tmp_path / "cache")

    async def installed(prefix: str, *specs: str) -> Path:
        records = await conda.solve(specs, [address])
        await conda.install(records, tmp_path / prefix, final=tmp_path / prefix, progress=lambda _: None)
        return tmp_path / prefix

    with served(Path(channel.removeprefix("file://"))) as address:
        await installed("online", "picky")

    offline = await installed("offline", "greeting=1.0")
    assert next(offline.glob("lib/python3*/site-packages/greeting.py")).read_text().startswith("VERSION = '1.0'")
    with pytest.raises(InstallError, match="cannot be reached"):
        await installed("never fetched", "saboteur")


async def test_a_builder_that_was_killed_leaves_nothing_in_the_way(channel: str, tmp_path: Path) -> None:
    builder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BUILDER, str(tmp_path / "store"), channel), stdout=subprocess.PIPE
    )
    assert builder.stdout is not None
    while b"installing" not in (line := await builder.stdout.readline()):
        assert line, "it ended before it was killed"
    builder.kill()
    await builder.wait()
    assert len(list((tmp_path / "store" / "tmp").iterdir())) == 1

    environment = await prepare(an_order(tmp_path / "store", tmp_path, "conda:prewarmed", channels=[channel]))

    assert await said(environment, "import ipykernel.kernelapp") == ""
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


async def test_two_launches_of_one_new_environment_build_it_once(build: Build) -> None:
    seen: list[str] = []
    declared = asks("greeting=2.0", "pip")

    first, second = await asyncio.gather(
        *(build("conda:inline", declared=declared, progress=lambda step: seen.append(step.phase)) for _ in range(2))
    )

    assert first.layers == second.layers
    assert seen.count("checking") <= 1
