from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtimed.environments.layers import Layer
from runtimed.environments.thin import thin_environment, variables

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
SITE = Path("lib") / VERSION / "site-packages"


def make_layer(path: Path, module: str) -> Layer:
    (path / SITE).mkdir(parents=True)
    (path / SITE / f"{module}.py").write_text(f"WHERE = 'layer {path.name}'\n")
    (path / "bin").mkdir()
    (path / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    return Layer(path.name, path)


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return make_layer(tmp_path / "lay er é", "shared")


def say(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    return done.stdout.strip()


def test_it_is_a_venv_of_its_own_that_finds_the_layers_modules(layer: Layer, tmp_path: Path) -> None:
    prefix = tmp_path / "room ü" / "env"

    python = thin_environment(layer, prefix)

    assert say(python, "import sys, shared; print(sys.prefix, shared.WHERE)") == f"{prefix} layer {layer.key}"
    assert say(python, "import site; print(site.getsitepackages()[0])") == str(prefix / SITE)


def test_what_is_installed_inside_comes_first_and_stays(layer: Layer, tmp_path: Path) -> None:
    python = thin_environment(layer, tmp_path / "env")
    (tmp_path / "env" / SITE / "shared.py").write_text("WHERE = 'own'\n")

    thin_environment(layer, tmp_path / "env")

    assert say(python, "import shared; print(shared.WHERE)") == "own"


def test_the_layers_own_pth_files_count(layer: Layer, tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "linked.py").write_text("")
    (layer.path / SITE / "editable.pth").write_text(f"{tmp_path / 'beside'}\n")

    assert say(thin_environment(layer, tmp_path / "env"), "import linked; print('found')") == "found"


def test_another_layer_takes_the_place_of_the_first(layer: Layer, tmp_path: Path) -> None:
    thin_environment(layer, tmp_path / "env")
    (tmp_path / "env" / SITE / "mine.py").write_text("")

    python = thin_environment(make_layer(tmp_path / "second", "shared"), tmp_path / "env")

    assert say(python, "import mine, shared; print(shared.WHERE)") == "layer second"


@pytest.mark.parametrize("lost", ["pyvenv.cfg", "bin/python", "bin/python3", str(SITE / "_runtimed_layer.pth")])
def test_one_that_lost_a_part_is_mended(layer: Layer, tmp_path: Path, lost: str) -> None:
    python = thin_environment(layer, tmp_path / "env")
    (tmp_path / "env" / lost).unlink()

    assert thin_environment(layer, tmp_path / "env") == python

    assert say(python, "import shared; print(shared.WHERE)") == f"layer {layer.key}"


def test_one_for_another_python_is_set_aside_not_deleted(layer: Layer, tmp_path: Path) -> None:
    old = tmp_path / "env" / "lib" / "python3.0" / "site-packages" / "mine.py"
    old.parent.mkdir(parents=True)
    old.write_text("")

    python = thin_environment(layer, tmp_path / "env")

    assert say(python, "import shared; print('works')") == "works"
    assert list(tmp_path.glob("env.old-*/lib/python3.0/site-packages/mine.py"))


def test_the_commands_of_both_are_on_the_path_own_ones_first(layer: Layer, tmp_path: Path) -> None:
    found = variables(layer, tmp_path / "env", "/usr/bin:/bin")

    assert found["VIRTUAL_ENV"] == str(tmp_path / "env")
    assert found["PATH"].split(os.pathsep)[:3] == [str(tmp_path / "env/bin"), str(layer.path / "bin"), "/usr/bin"]
    assert variables(layer, tmp_path / "env", "")["PATH"].count(os.pathsep) == 1


def test_launches_that_make_the_same_one_at_once_do_not_disturb_each_other(layer: Layer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for round in range(20):
            prefix = tmp_path / f"env{round}"
            made = list(threads.map(lambda _, where=prefix: thin_environment(layer, where), range(8)))
            assert made == [prefix / "bin" / "python"] * 8
            assert (prefix / "pyvenv.cfg").is_file()
    assert not list(tmp_path.glob("**/.*.*")), "something half written was left"
    assert not list(tmp_path.glob("*.old-*"))
