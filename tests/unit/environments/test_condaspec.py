from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.docs.declared import Inline
from runtimed.environments.condaspec import expand_channels, inline_spec, package_name, read_environment_yml
from runtimed.errors import InvalidRequest

FILE = Path("/project/environment.yml")
FORGE = ("conda-forge",)


def test_a_file_says_packages_channels_pip_lines_and_variables() -> None:
    text = """
name: theirs
channels: [bioconda, conda-forge, nodefaults]
dependencies:
  - python=3.11
  - conda-forge::numpy>=2
  - pip
  - pip: [requests, -e ./mine]
variables: {LEVEL: 3, EMPTY: }
"""
    spec = read_environment_yml(text, FILE, FORGE)

    assert spec.specs == ("python=3.11", "conda-forge::numpy>=2", "pip")
    assert spec.channels == ("bioconda", "conda-forge")
    assert spec.pip == ("requests", "-e ./mine")
    assert spec.variables == {"LEVEL": "3", "EMPTY": ""}
    assert spec.folder == Path("/project")
    assert spec.notes == (
        "name: in environment.yml is ignored: the environment is one of our own, named by what is in it",
    )


def test_a_file_that_names_no_channel_gets_the_configured_ones() -> None:
    assert read_environment_yml("dependencies: [numpy]", FILE, ("mine", "other")).channels == ("mine", "other")


def test_an_empty_file_asks_for_the_kernel_alone() -> None:
    assert read_environment_yml("", FILE, FORGE).specs == ()


def test_defaults_are_what_conda_means_by_them() -> None:
    assert expand_channels(["defaults"], FORGE) == ("main", "r")
    assert expand_channels(["nodefaults", "a", "a"], FORGE) == ("a",)
    assert expand_channels(["nodefaults"], FORGE) == FORGE


def test_a_channel_in_a_folder_is_meant_from_where_its_file_lies(tmp_path: Path) -> None:
    assert expand_channels(["./channel", "file:///there"], FORGE, tmp_path) == (
        (tmp_path / "channel").as_uri(),
        "file:///there",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dependencies: [numpy\nchannels: []", "not valid YAML: .*line 2"),
        ("- numpy", "holds a list"),
        ("dependencies: numpy", "dependencies in .* is no list"),
        ("dependencies: [3.11]", "3.11 in the dependencies of .* is no package"),
        ("dependencies: [{sel(linux): numpy}]", "is no package"),
        ("dependencies: [{pip: requests}]", "the pip section of .* is no list"),
        ("channels: conda-forge", "channels in .* is no list"),
        ("variables: [A]", "variables in"),
        ("a: &a [*a, !!python/object:os.system x]", "not valid YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        read_environment_yml(text, FILE, FORGE)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("numpy", "numpy"), ("NumPy >=2", "numpy"), ("conda-forge::numpy=2", "numpy"), ("numpy[version=2]", "numpy"),
        ("file:///a/channel::numpy", "numpy"), ("", ""), (">=2", ""),
    ],
)  # fmt: skip
def test_a_spec_has_a_name(spec: str, name: str) -> None:
    assert package_name(spec) == name


@pytest.mark.parametrize(
    ("python", "spec"),
    [("3.12", "python 3.12.*"), (">=3.11,<3.13", "python >=3.11,<3.13"), ("3.12.*", "python 3.12.*")],
)
def test_the_python_of_a_notebook_is_a_package_like_others(python: str, spec: str) -> None:
    section = Inline(dependencies=("numpy",), pypi_dependencies=("six",), python=python)

    asked = inline_spec(section, FORGE)

    assert asked.specs == ("numpy", spec)
    assert asked.pip == ("six",)
    assert asked.names == ("numpy", spec, "six")


def test_a_python_named_as_a_package_wins() -> None:
    assert inline_spec(Inline(dependencies=("python=3.11",), python="3.12"), FORGE).specs == ("python=3.11",)


def test_malformed_metadata_says_so() -> None:
    with pytest.raises(InvalidRequest, match="must be a list"):
        inline_spec(Inline(problem="runt.conda.dependencies must be a list of strings"), FORGE)
