from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from listening import python_spec
from runtimed.kernels.kernelspec import LaunchSpec
from runtimed.kernels.thin import Thin, look_at, same_birth

MODULES = frozenset({"IPython", "zmq", "comm"})


@pytest.fixture
def spec(tmp_path: Path) -> LaunchSpec:
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    point_at(packages, tmp_path / "layers/abc/lib/python3.11/site-packages")
    return dataclasses.replace(
        python_spec(tmp_path / "env" / "bin" / "python", tmp_path), layer=tmp_path / "layers" / "abc"
    )


def point_at(packages: Path, *folders: Path) -> None:
    lines = [f"import site; site.addsitedir({str(folder)!a})\n" for folder in folders]
    (packages / "_runtimed_layer.pth").write_text("".join(lines))


def put(spec: LaunchSpec, name: str) -> None:
    (Path(spec.argv[0]).parents[1] / "lib" / "python3.11" / "site-packages" / name).write_text("/elsewhere\n")


def test_an_environment_with_nothing_of_its_own_can_be_stood_in_for(spec: LaunchSpec, tmp_path: Path) -> None:
    packages = tmp_path / "env/lib/python3.11/site-packages"
    layer_packages = tmp_path / "layers/abc/lib/python3.11/site-packages"

    assert look_at(spec, MODULES) == Thin(tmp_path / "env", packages, layer_packages)


@pytest.mark.parametrize("name", ["mine.py", "pandas", "zmq_extra", "IPython-9.0.dist-info", "commander"])
def test_what_no_kernel_imports_is_no_hindrance(spec: LaunchSpec, name: str) -> None:
    put(spec, name)

    assert look_at(spec, MODULES) is not None


@pytest.mark.parametrize(
    "name", ["zmq", "comm.py", "zmq.cpython-311-x86_64-linux-gnu.so", "sitecustomize.py", "usercustomize", "a.pth"]
)
def test_what_would_have_changed_the_imports_needs_a_process_of_its_own(spec: LaunchSpec, name: str) -> None:
    put(spec, name)

    assert look_at(spec, MODULES) is None


def test_a_project_that_stands_before_the_layer_needs_a_process_of_its_own(spec: LaunchSpec, tmp_path: Path) -> None:
    layer_packages = tmp_path / "layers/abc/lib/python3.11/site-packages"
    point_at(tmp_path / "env/lib/python3.11/site-packages", tmp_path / "project/.venv", layer_packages)

    assert look_at(spec, MODULES) is None


def test_what_is_not_there_is_for_the_launcher_to_tell_of(spec: LaunchSpec, tmp_path: Path) -> None:
    assert look_at(dataclasses.replace(spec, cwd=tmp_path / "gone"), MODULES) is None
    assert look_at(dataclasses.replace(spec, layer=None), MODULES) is None
    assert look_at(dataclasses.replace(spec, argv=("/no/env/bin/python",)), MODULES) is None


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONWARNINGS", "LD_LIBRARY_PATH", "IPYTHONDIR", "HOME", "LC_ALL"])
def test_what_is_read_at_the_start_tells_births_apart(name: str) -> None:
    assert not same_birth({name: "x"}, {})
    assert not same_birth({name: "x"}, {name: "y"})
    assert same_birth({name: "x", "PATH": "a"}, {name: "x", "VIRTUAL_ENV": "b"})
