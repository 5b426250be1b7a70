from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ordering import an_order
from running import say
from runtimed.docs.declared import Declared, Inline
from runtimed.environments.packages import lock_for
from runtimed.environments.prepare import prepare
from runtimed.errors import EnvError, SolveError

pytestmark = pytest.mark.anyio

TINY = Declared(uv=Inline(dependencies=("tiny",)))
SCRIPT = Declared(script="dependencies = ['tiny<2']")


@pytest.mark.parametrize(("source", "declared"), [("uv:inline", TINY), ("uv:pep723", SCRIPT), ("auto", SCRIPT)])
async def test_a_notebook_gets_what_it_names(wheels: Path, tmp_path: Path, source: str, declared: Declared) -> None:
    order = an_order(tmp_path / "store", tmp_path / "room", source, declared=declared, packages=("no-such-thing",))

    environment = await prepare(order)

    assert await say(environment, "import tiny; print(tiny.VERSION)") == "1.0"
    assert environment.source == order.decision.source != "uv:prewarmed"
    assert "tiny==1.0" in environment.pinned


async def test_an_approved_lock_is_what_gets_installed(
    wheels: Path, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    lock = await lock_for(an_order(tmp_path / "store", tmp_path / "room", "uv:inline", declared=TINY))
    make_wheel("tiny", "2.0", {"tiny.py": "VERSION = '2.0'\n"})

    environment = await prepare(an_order(tmp_path / "store", tmp_path / "room", "uv:inline", declared=TINY, lock=lock))

    assert await say(environment, "import tiny; print(tiny.VERSION)") == "1.0"


async def test_what_nobody_approved_is_not_built_from_source(
    wheels: Path, tmp_path: Path, make_sdist: Callable[[str], Path]
) -> None:
    make_sdist("sourced")
    declared = Declared(uv=Inline(dependencies=("sourced",)))

    with pytest.raises(EnvError, match="sourced"):
        await prepare(
            an_order(tmp_path / "store", tmp_path / "room", declared=declared, source="auto", wheels_only=True)
        )

    assert not (tmp_path / "it ran").exists()


async def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    declared = Declared(uv=Inline(dependencies=("tiny",), python=">=3.99"))

    with pytest.raises(SolveError, match=r"no Python >=3\.99 was found"):
        await prepare(an_order(tmp_path / "store", tmp_path / "room", "uv:inline", declared=declared))
