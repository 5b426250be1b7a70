"""The default environment is built from the real index, once, and holds what notebooks expect of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ordering
from ordering import an_order
from runtimed.environments.environment import Environment
from runtimed.environments.prepare import prepare
from runtimed.environments.progress import Progress
from runtimed.settings import DEFAULT_PACKAGES

pytestmark = pytest.mark.timeout(300)

TESTS = str(Path(ordering.__file__).parent)
BUILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from ordering import an_order
from runtimed.environments.prepare import prepare

store, room = Path(sys.argv[1]), Path(sys.argv[2])
progress = lambda step: print(step.phase, flush=True)
asyncio.run(prepare(an_order(store, room, progress=progress)))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="module")
def default(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, list[Progress]]:
    seen: list[Progress] = []
    room = tmp_path_factory.mktemp("a room ü")
    building = prepare(an_order(store, room, packages=DEFAULT_PACKAGES, progress=seen.append))
    return asyncio.run(building), seen


def say(environment: Environment, *arguments: str) -> str:
    env = os.environ | environment.env
    done = subprocess.run([environment.python, *arguments], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_default_packages_and_a_kernel_import_from_the_layer(default: tuple[Environment, list[Progress]]) -> None:
    environment, seen = default

    code = "import numpy, pandas, matplotlib, ipykernel.kernelapp, IPython; print(pandas.__file__)"

    assert say(environment, "-c", code).startswith(str(environment.layers[0].path))
    assert {pin.partition("==")[0] for pin in environment.pinned} >= {"ipykernel", *DEFAULT_PACKAGES}
    assert seen[0].phase == "resolving"
    assert [step.phase for step in seen][-2:] == ["checking", "ready"]


def test_the_next_room_has_it_at_once(default: tuple[Environment, list[Progress]], store: Path, tmp_path: Path) -> None:
    def nothing(step: Progress) -> None:
        pytest.fail(f"there was something to do: {step}")

    again = asyncio.run(prepare(an_order(store, tmp_path, packages=DEFAULT_PACKAGES, progress=nothing)))

    assert again.layers[0] == default[0].layers[0]
    assert say(again, "-c", "import sys, numpy; print(sys.prefix)") == str(tmp_path / "env")


def test_what_is_pip_installed_goes_to_the_room_and_not_to_the_layer(
    default: tuple[Environment, list[Progress]], store: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "mine-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("mine.py", "")
        wheel.writestr("mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        wheel.writestr("mine-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("mine-1.0.dist-info/RECORD", "mine.py,,\n")
    environment = asyncio.run(prepare(an_order(store, tmp_path, packages=DEFAULT_PACKAGES)))

    say(environment, "-m", "pip", "install", "-q", "--no-index", "--find-links", str(tmp_path), "mine")

    assert say(environment, "-c", "import mine; print(mine.__file__)").startswith(str(environment.prefix))
    assert not (environment.layers[0].site_packages() / "mine.py").exists()


def test_two_processes_that_need_the_same_layer_build_it_once(tmp_path: Path) -> None:
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(tmp_path / "store"), str(tmp_path / f"room {n}"), TESTS],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]

    said = [builder.communicate()[0].split() for builder in builders]

    assert [builder.returncode for builder in builders] == [0, 0]
    assert sorted(phases.count("checking") for phases in said) == [0, 1]
    assert len(list((tmp_path / "store" / "layers").iterdir())) == 1
