from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ordering import an_order
from running import say
from runtimed.environments import defaults
from runtimed.environments.defaults import Shortfall, blamed, kind_of, known_default_layer, pause
from runtimed.environments.environment import Environment
from runtimed.environments.layers import Layer, LayerStore
from runtimed.environments.packages import UvFinder
from runtimed.environments.prepare import flush, prepare
from runtimed.environments.progress import Progress
from runtimed.environments.uv import classify
from runtimed.errors import CacheUnusable, InstallError, KernelStartError, SolveError

pytestmark = pytest.mark.anyio

Prepare = Callable[..., "Environment"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def seen() -> list[Progress]:
    return []


@pytest.fixture
def prepared(wheels: Path, store: Path, tmp_path: Path, seen: list[Progress]):  # type: ignore[no-untyped-def]
    async def prepare_it(*packages: str) -> Environment:
        return await prepare(an_order(store, tmp_path / "room", packages=packages, progress=seen.append))

    return prepare_it


def short_of(environment: Environment) -> Shortfall:
    assert environment.shortfall is not None
    return environment.shortfall


async def test_a_default_package_that_does_not_exist_is_left_out_and_named(prepared, seen: list[Progress]) -> None:  # type: ignore[no-untyped-def]
    environment = await prepared("tiny", "no-such-thing")

    assert await say(environment, "import tiny; print(tiny.VERSION)") == "1.0"
    assert environment.packages == ("tiny",)
    short = short_of(environment)
    assert (short.kind, short.package, short.without) == ("invalid_package", "no-such-thing", ("no-such-thing",))
    assert (short.count, round(short.next_try - time.time(), -1)) == (1, 30.0)
    assert any(step.message.startswith("Going on without no-such-thing: the packages cannot") for step in seen)


async def test_until_the_next_try_nobody_is_asked_again(  # type: ignore[no-untyped-def]
    prepared, seen: list[Progress], make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared("tiny", "late")
    make_wheel("late", "1.0", {"late.py": ""})
    seen.clear()

    assert short_of(await prepared("tiny", "late")).package == "late"
    assert seen == []
    monkeypatch.setattr(defaults.time, "time", lambda: 1e12)
    again = await prepared("tiny", "late")

    assert (again.packages, again.shortfall) == (("tiny", "late"), None)


async def test_each_failure_in_a_row_waits_longer_and_flush_waits_no_more(  # type: ignore[no-untyped-def]
    prepared, store: Path, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    for count, later in ((1, 0), (2, 1000), (3, 2000)):
        monkeypatch.setattr(defaults.time, "time", lambda later=later: now + later)
        short = short_of(await prepared("late"))
        assert (short.count, round(short.next_try - now - later)) == (count, 30 * 2 ** (count - 1))

    make_wheel("late", "1.0", {"late.py": ""})
    await flush(store)

    assert (await prepared("late")).shortfall is None


async def test_a_changed_list_is_tried_at_once(prepared) -> None:  # type: ignore[no-untyped-def]
    assert short_of(await prepared("tiny", "no-such-thing")).count == 1

    assert (await prepared("tiny")).shortfall is None


async def test_several_that_fail_are_all_left_out(prepared) -> None:  # type: ignore[no-untyped-def]
    short = short_of(await prepared("not a requirement", "tiny", "no-such-thing"))

    assert set(short.without) == {"not a requirement", "no-such-thing"}


async def test_one_that_keeps_kernels_from_starting_leaves_them_without_it(  # type: ignore[no-untyped-def]
    prepared, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("shadow", "1.0", {"shadow.py": ""}, ("ipykernel==2.0",))
    make_wheel("ipykernel", "2.0", {"ipykernel/__init__.py": "raise RuntimeError('broken build')\n"})
    make_wheel("tame", "1.0", {"tame.py": ""}, ("ipykernel==1.0",))

    with pytest.raises(InstallError, match="broken build"):
        await prepared("shadow")  # the newest ipykernel of all is broken: nothing helps


async def test_what_is_there_is_known_without_asking_anybody(  # type: ignore[no-untyped-def]
    prepared, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known() -> Layer | None:
        return known_default_layer(UvFinder(("tiny", "nix"), LayerStore(store)))

    assert await asyncio.to_thread(known) is None
    environment = await prepared("tiny", "nix")
    monkeypatch.setenv("PATH", "/nowhere")

    assert await asyncio.to_thread(known) == environment.layers[0]
    await flush(store)
    assert await asyncio.to_thread(known) is None


def test_failures_have_their_kinds() -> None:
    assert [kind_of(error) for error in (
        classify("error: Failed to fetch: dns error"),
        classify("Network was disabled"),
        classify("No space left on device"),
        classify("No solution found when resolving dependencies"),
        classify("the build backend said something else"),
        InstallError("a kernel cannot start", kind="import_error"),
        KernelStartError("no ipykernel", imports_fail=True),
        KernelStartError("it does not answer"),
        CacheUnusable("the disk is full"),
    )] == [
        "network", "network", "disk", "invalid_package", "setup_failed",
        "import_error", "import_error", "setup_failed", "disk",
    ]  # fmt: skip


def test_the_package_that_is_named_first_is_to_blame_and_none_for_a_network() -> None:
    packages = ("numpy", "Scikit_Learn>=99", "pandas")
    said = "Because only scikit-learn<=1.7 is available and you require scikit-learn>=99, pandas-stubs too"

    assert blamed(SolveError(f"the packages cannot be resolved: {said}"), packages) == "Scikit_Learn>=99"
    assert blamed(SolveError("the packages cannot be resolved: Because numpy-stubs is not there"), packages) is None
    away = InstallError("the package index cannot be reached: <package index>/numpy", kind="network")
    assert blamed(away, packages) is None


def test_a_network_is_tried_again_sooner() -> None:
    assert [pause("network", count) for count in (1, 2, 3, 4, 99)] == [10, 20, 40, 60, 60]
    assert [pause("invalid_package", count) for count in (1, 2, 3, 4, 5, 99)] == [30, 60, 120, 240, 300, 300]
