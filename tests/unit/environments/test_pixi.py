from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.environments.condaspec import CondaSpec
from runtimed.environments.pixi import read_pixi_toml
from runtimed.errors import InvalidRequest, NotAvailable

FILE = Path("/project/pixi.toml")


def read(text: str, path: Path = FILE, subdir: str = "linux-64") -> CondaSpec:
    return read_pixi_toml(text, path, ("conda-forge",), subdir)


def test_the_default_environment_has_the_workspaces_own_packages() -> None:
    spec = read("""
[workspace]
channels = ["bioconda", { channel = "conda-forge", priority = 1 }]
platforms = ["linux-64", "osx-arm64"]
[dependencies]
python = "3.12.*"
numpy = "*"
blas = { version = ">=2", build = "openblas*", channel = "conda-forge" }
[pypi-dependencies]
six = "*"
requests = { version = ">=2", extras = ["socks"] }
exact = "1.0"
mine = { path = "pkg", editable = true }
other = { path = "other" }
gitted = { git = "https://host/repo", rev = "abc" }
[activation.env]
LEVEL = 3
""")

    assert spec.channels == ("bioconda", "conda-forge")
    assert spec.specs == ("python 3.12.*", "numpy", 'blas >=2[build="openblas*", channel="conda-forge"]')
    assert spec.pip == (
        "six",
        "requests[socks]>=2",
        "exact==1.0",
        "-e pkg",
        "other @ file:///project/other",
        "gitted @ git+https://host/repo@abc",
    )
    assert spec.variables == {"LEVEL": "3"}
    assert spec.notes == ()


def test_tables_for_a_platform_count_there_alone() -> None:
    text = """
[project]
[dependencies]
a = "*"
[target.linux-64.dependencies]
b = "*"
[target.unix.dependencies]
c = "*"
[target.osx-arm64.dependencies]
d = "*"
"""
    assert read(text).specs == ("a", "b", "c")
    assert read(text, subdir="osx-arm64").specs == ("a", "c", "d")


def test_features_count_when_the_default_environment_names_them() -> None:
    spec = read("""
[dependencies]
a = "*"
[feature.plots.dependencies]
b = "*"
[feature.tests.dependencies]
c = "*"
[environments]
default = ["plots"]
tests = ["tests"]
[tasks]
run = "x"
""")

    assert spec.specs == ("a", "b")
    assert spec.notes == (
        "tasks of pixi.toml: only pixi itself runs these",
        "environments tests of pixi.toml: a kernel gets the default one",
    )


def test_a_pyproject_keeps_its_workspace_under_tool() -> None:
    spec = read(
        '[project]\nname = "x"\ndependencies = ["six"]\n[tool.pixi.dependencies]\na = "*"\n',
        path=Path("/project/pyproject.toml"),
    )

    assert spec.specs == ("a",)
    assert spec.pip == ("six",)


def test_a_lock_beside_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "pixi.lock").touch()

    assert read("", path=tmp_path / "pixi.toml").lock == tmp_path / "pixi.lock"
    assert read("").lock is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[dependencies", "not valid TOML"),
        ("dependencies = 3", "dependencies is no table"),
        ("[dependencies]\na = 3", "a = 3 is no version"),
        ("[pypi-dependencies]\na = []", "is no version"),
        ("[workspace]\nchannels = 'x'", "channels in"),
        ("[environments]\ndefault = ['gone']", "feature 'gone' that is not there"),
        ("[target]\nlinux = 3", "linux is no table"),
        ("[feature]\nx = 3\n[environments]\ndefault = ['x']", "x is no table"),
        ("[workspace]\nplatforms = 'linux-64'", "platforms"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        read(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[workspace]\nplatforms = ['win-64']", "is for win-64, and this is linux-64"),
        ("[dependencies]\na = { git = 'https://host/repo' }", "which only pixi can do"),
    ],
)
def test_what_only_pixi_can_do_is_named(text: str, reason: str) -> None:
    with pytest.raises(NotAvailable, match=reason):
        read(text)
