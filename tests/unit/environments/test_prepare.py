from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

import ordering
from ordering import an_order
from running import say
from runtimed.docs.declared import Declared, Inline
from runtimed.environments.environment import Environment, base_python
from runtimed.environments.layers import LayerStore
from runtimed.environments.prepare import flush, prepare, quarantine, sweep
from runtimed.environments.progress import Progress
from runtimed.errors import CacheUnusable, InstallError, SolveError

pytestmark = pytest.mark.anyio

Prepare = Callable[..., Awaitable[Environment]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "the store"


@pytest.fixture
def seen() -> list[Progress]:
    return []


@pytest.fixture
def prepared(wheels: Path, store: Path, tmp_path: Path, seen: list[Progress]) -> Prepare:
    async def prepare_it(*packages: str, room: str = "room") -> Environment:
        return await prepare(an_order(store, tmp_path / room, packages=packages, progress=seen.append))

    return prepare_it


def layers(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "layers").iterdir())


async def test_a_list_of_packages_becomes_a_python_that_has_them(
    prepared: Prepare, tmp_path: Path, seen: list[Progress]
) -> None:
    environment = await prepared("tiny")

    assert await say(environment, "import tiny, ipykernel, sys; print(tiny.VERSION, sys.prefix)") == (
        f"1.0 {tmp_path / 'room' / 'env'}"
    )
    assert environment.source == "uv:prewarmed"
    assert environment.packages == ("tiny",)
    assert environment.pinned == ("ipykernel==1.0", "ipython==1.0", "pip==1.0", "pyzmq==1.0", "tiny==1.0")
    phases = list(dict.fromkeys(step.phase for step in seen))
    assert phases == ["resolving", "downloading", "compiling", "checking", "ready"]


async def test_the_layer_is_compiled_even_where_python_is_told_not_to(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    environment = await prepared("tiny")

    tiny = await say(environment, "import tiny; print(tiny.__cached__)")
    assert await asyncio.to_thread(Path(tiny).exists)
    assert str(environment.layers[0].path) in tiny


async def test_what_is_known_needs_no_uv_no_index_and_no_word(
    prepared: Prepare, seen: list[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await prepared("tiny")
    seen.clear()
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nowhere")

    again = await prepared("tiny")
    other = await prepared("tiny", room="other room")

    assert again.layers[0] == other.layers[0] == first.layers[0]
    assert other.prefix != first.prefix
    assert seen == []


async def test_two_lists_that_resolve_to_the_same_share_a_layer(prepared: Prepare, store: Path) -> None:
    await prepared("tiny")
    await prepared("tiny>=1")

    assert len(layers(store)) == 1


async def test_many_starts_at_once_are_one_build(prepared: Prepare, store: Path, seen: list[Progress]) -> None:
    found = await asyncio.gather(*(prepared("tiny", room=f"room {n}") for n in range(5)))

    assert len({environment.layers[0] for environment in found}) == len(layers(store)) == 1
    assert [step.phase for step in seen].count("checking") == 1
    assert "waiting" in [step.phase for step in seen]
    assert not list((store / "tmp").iterdir())


async def test_a_package_that_does_not_exist_is_named(wheels: Path, store: Path, tmp_path: Path) -> None:
    declared = Declared(uv=Inline(dependencies=("tiny", "no-such-thing")))
    with pytest.raises((SolveError, InstallError), match="no-such-thing"):
        await prepare(an_order(store, tmp_path / "room", "uv:inline", declared=declared))

    assert layers(store) == []


async def test_packages_that_keep_a_kernel_from_starting_are_no_layer(
    prepared: Prepare, make_wheel: Callable[..., Path], store: Path
) -> None:
    make_wheel("shadow", "1.0", {"zmq.pth": "", "ipykernel/connect.py": ""}, ("ipykernel==2.0",))
    make_wheel("ipykernel", "2.0", {"ipykernel/__init__.py": "raise RuntimeError('broken build')\n"})

    with pytest.raises(InstallError, match=r"(?s)a kernel cannot start from these packages.*broken build"):
        await prepared("shadow")

    assert layers(store) == [] and not list((store / "tmp").iterdir())


async def test_versions_do_not_drift_until_they_are_flushed(
    prepared: Prepare, make_wheel: Callable[..., Path], store: Path
) -> None:
    await prepared("tiny")
    make_wheel("tiny", "2.0", {"tiny.py": "VERSION = '2.0'\n"})
    before = await prepared("tiny")

    await flush(store)
    after = await prepared("tiny")

    assert "tiny==1.0" in before.pinned and "tiny==2.0" in after.pinned
    assert await say(after, "import tiny; print(tiny.VERSION)") == "2.0"
    assert len(layers(store)) == 2


async def test_a_flush_without_an_index_goes_on_with_what_is_there(
    prepared: Prepare, store: Path, wheels: Path, seen: list[Progress]
) -> None:
    first = await prepared("tiny")
    for wheel in await asyncio.to_thread(lambda: list(wheels.iterdir())):
        await asyncio.to_thread(wheel.unlink)
    await flush(store)

    again = await prepared("tiny")

    assert again.layers[0] == first.layers[0]
    assert "from before" in seen[-1].message


async def test_a_layer_from_which_no_kernel_starts_is_built_anew(prepared: Prepare, store: Path) -> None:
    first = await prepared("tiny")
    await quarantine(first, store)

    again = await prepared("tiny")

    assert again.layers[0] == first.layers[0]
    assert await say(again, "import tiny; print(tiny.VERSION)") == "1.0"
    assert await sweep(store) == 1


async def test_cancelling_ends_the_installer_and_leaves_nothing_usable(
    wheels: Path, store: Path, tmp_path: Path
) -> None:
    task: asyncio.Task[Environment]

    def cancel_while_installing(step: Progress) -> None:
        if step.phase == "compiling":
            task.cancel()

    async def build(progress: Callable[[Progress], None]) -> Environment:
        return await prepare(an_order(store, tmp_path / "room", packages=("tiny",), progress=progress))

    task = asyncio.create_task(build(cancel_while_installing))
    with pytest.raises(asyncio.CancelledError):
        await task

    children = await asyncio.to_thread(psutil.Process().children, recursive=True)
    assert not [child for child in children if child.name() == "uv"]
    assert layers(store) == []
    assert (await build(lambda _: None)).layers[0].key in await asyncio.to_thread(layers, store)
    assert not await asyncio.to_thread(lambda: list((store / "tmp").iterdir()))


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from ordering import an_order
from running import say
from runtimed.environments.prepare import prepare

def die(step):
    if step.phase == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

root = Path(sys.argv[1])
asyncio.run(prepare(an_order(root / "the store", root, packages=("tiny",), progress=die)))
"""


@pytest.mark.parametrize("phase", ["downloading", "compiling", "checking"])
async def test_a_killed_build_leaves_nothing_usable_and_is_swept(
    prepared: Prepare, store: Path, tmp_path: Path, phase: str
) -> None:
    argv = [sys.executable, "-c", KILLED, str(tmp_path), phase, str(Path(ordering.__file__).parent)]
    killed = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert await asyncio.to_thread(layers, store) == []

    assert await sweep(store) == 1

    assert await say(await prepared("tiny"), "import tiny; print(tiny.VERSION)") == "1.0"


async def test_a_store_that_cannot_be_written_is_a_typed_error(prepared: Prepare, store: Path) -> None:
    await asyncio.to_thread(store.write_text, "a file")

    with pytest.raises(CacheUnusable, match="cannot be written"):
        await prepared("tiny")


def test_the_interpreter_is_not_that_of_a_venv() -> None:
    assert base_python().is_file()
    assert LayerStore(Path("/nowhere")).key("lock", base_python())
    assert not (base_python().parent.parent / "pyvenv.cfg").exists()
