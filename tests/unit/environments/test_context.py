from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtimed.docs.project import ProjectContext
from runtimed.environments.context import project_context


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()  # no file above it counts
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def seen(project: Path) -> ProjectContext:
    return project_context(project / "notebooks" / "a.ipynb", ("conda-forge",))


def test_a_notebook_without_a_project_says_so(project: Path) -> None:
    context = seen(project)
    assert (context.state, context.kind, context.absolute_path) == ("not_found", "", "")
    assert context.observed_at


def test_a_pyproject_is_shown_with_what_it_asks_for(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        "[project]\nname = 'mine'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['iniconfig']\n"
        "[dependency-groups]\ndev = ['pytest', {include-group = 'lint'}]\nlint = ['ruff']\n"
        "[tool.uv]\nprerelease = 'allow'\n"
    )
    context = seen(project)

    assert (context.state, context.kind) == ("detected", "pyproject_toml")
    assert context.absolute_path == str(project / "pyproject.toml")
    assert context.relative_to_notebook == "../pyproject.toml"
    assert context.dependencies == ("iniconfig",)
    assert context.dev_dependencies == ("pytest",)
    assert (context.requires_python, context.prerelease) == (">=3.11", "allow")
    assert json.loads(context.extras) == {"kind": "None"}


def test_an_environment_yml_is_shown_with_its_channels_and_python_apart(project: Path) -> None:
    (project / "environment.yml").write_text(
        "channels: [conda-forge]\ndependencies: [python=3.11, numpy, {pip: [requests]}]\n"
    )
    context = seen(project)

    assert (context.kind, context.dependencies, context.requires_python) == ("environment_yml", ("numpy",), "3.11.*")
    assert json.loads(context.extras) == {"kind": "EnvironmentYml", "channels": ["conda-forge"], "pip": ["requests"]}


def test_a_pixi_toml_is_shown_with_both_kinds_of_packages(project: Path) -> None:
    (project / "pixi.toml").write_text(
        "[workspace]\nname = 'x'\nchannels = ['conda-forge']\n"
        "[dependencies]\nnumpy = '*'\n[pypi-dependencies]\nrequests = '*'\n"
    )
    context = seen(project)

    assert (context.kind, context.dependencies) == ("pixi_toml", ("numpy",))
    assert json.loads(context.extras)["pypi_dependencies"] == ["requests"]


@pytest.mark.parametrize(
    "text", ["[project\n", "project = 3\n", "[project]\ndependencies = 'numpy'\n", "[project]\n\xff".encode("latin1")]
)
def test_a_malformed_file_is_unreadable_and_says_why(project: Path, text: str | bytes) -> None:
    (project / "pyproject.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    context = seen(project)

    assert context.state == "unreadable"
    assert context.unreadable_path == str(project / "pyproject.toml")
    assert context.unreadable_reason
    assert context.dependencies == ()


def test_that_it_was_looked_at_again_is_no_news(project: Path) -> None:
    first, again = seen(project), seen(project)
    (project / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\n")

    assert not again.says_more_than(first.as_fields())
    assert seen(project).says_more_than(first.as_fields())
