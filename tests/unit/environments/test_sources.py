from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.docs.declared import Declared, Inline
from runtimed.environments.builders import builder_of
from runtimed.environments.projects import Found, ProjectFile
from runtimed.environments.sources import SOURCES, decide
from runtimed.errors import InvalidRequest, NotAvailable

NOTHING = Declared()
PYPROJECT = ProjectFile(Path("/p/pyproject.toml"), "uv:pyproject")
PIXI = ProjectFile(Path("/p/pixi.toml"), "pixi:toml")
YML = ProjectFile(Path("/environment.yml"), "conda:env_yml")
PROJECT = Found((PYPROJECT, PIXI, YML), ("project files in /p",))
UV = Declared(uv=Inline(dependencies=("polars",)))
CONDA = Declared(conda=Inline(dependencies=("polars",)))
SCRIPT = Declared(script="dependencies = []")


@pytest.mark.parametrize("asked", ["auto", "", "auto:uv", "prewarmed", "uv:prewarmed"])
def test_where_nothing_is_declared_it_is_the_prewarmed_uv_environment(asked: str) -> None:
    decision = decide("python", asked, NOTHING, Found())

    assert (decision.kernel_type, decision.source) == ("python", "uv:prewarmed")


@pytest.mark.parametrize(
    ("asked", "declared", "found", "source"),
    [
        ("auto", UV, PROJECT, "uv:inline"),
        ("auto", CONDA, PROJECT, "conda:inline"),
        ("auto", Declared(pixi=Inline(pypi_dependencies=("x",))), PROJECT, "pixi:inline"),
        ("auto", SCRIPT, PROJECT, "uv:pep723"),
        ("auto", NOTHING, PROJECT, "uv:pyproject"),
        ("auto", NOTHING, Found((PIXI, YML)), "pixi:toml"),
        ("auto", NOTHING, Found((YML,)), "conda:env_yml"),
        ("auto:conda", UV, PROJECT, "conda:env_yml"),
        ("auto:pixi", UV, Found(), "pixi:prewarmed"),
        ("auto:uv", CONDA, Found((YML,)), "uv:prewarmed"),
        ("prewarmed", UV, PROJECT, "uv:prewarmed"),
        ("auto", Declared(conda=Inline()), Found(), "conda:prewarmed"),
        ("auto", Declared(uv=Inline(problem="not a list")), Found(), "uv:inline"),
        ("pixi:toml", NOTHING, PROJECT, "pixi:toml"),
    ],
)
def test_inline_comes_first_then_the_closest_project_then_prewarmed(
    asked: str, declared: Declared, found: Found, source: str
) -> None:
    decision = decide("python", asked, declared, found)

    assert decision.source == source
    assert decision.why and decision.asked == asked


@pytest.mark.parametrize(
    ("kernel_type", "asked", "declared"),
    [
        ("python", "auto", Declared(kernelspec="deno", language="typescript")),
        ("auto", "auto", Declared(language="typescript")),
        ("deno", "auto", Declared(kernelspec="python3", language="python")),
        ("python", "deno", NOTHING),
        ("", "auto:deno", NOTHING),
    ],
)
def test_the_notebook_or_the_asker_may_want_deno(kernel_type: str, asked: str, declared: Declared) -> None:
    decision = decide(kernel_type, asked, declared, PROJECT)

    assert (decision.kernel_type, decision.source) == ("deno", "deno")


def test_deno_has_no_environment_of_pythons() -> None:
    with pytest.raises(InvalidRequest, match="uv:prewarmed is an environment of Python's"):
        decide("deno", "uv:prewarmed", NOTHING, PROJECT)


def test_a_notebook_in_another_language_gets_its_own_kernelspec() -> None:
    assert decide("python", "auto", Declared(kernelspec="ir", language="r"), PROJECT).source == "kernelspec:ir"


def test_a_decision_tells_what_was_looked_at_and_why() -> None:
    decision = decide("python", "auto", UV, PROJECT)

    assert "project files in /p" in decision.looked_at
    assert "metadata runt.uv: polars" in decision.looked_at
    assert "polars" in decision.why


@pytest.mark.parametrize("asked", ["uv:inline", "conda:inline", "uv:pep723", "uv:pyproject", "conda:env_yml"])
def test_a_source_of_which_there_is_nothing_says_what_is_missing(asked: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{asked}: no|{asked}: the notebook"):
        decide("python", asked, NOTHING, Found())


@pytest.mark.parametrize("asked", ["conda", "uv:prewarm", "UV:PREWARMED", "kernelspec:", "\x00"])
def test_an_unknown_source_lists_the_known_ones(asked: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decide("python", asked, NOTHING, Found())

    assert all(source in str(caught.value) for source in SOURCES)


def test_an_unknown_kernel_type_lists_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="one of: python, deno"):
        decide("julia", "auto", NOTHING, Found())


def test_a_source_without_a_builder_says_which_have_one() -> None:
    with pytest.raises(NotAvailable, match="uv:prewarmed"):
        builder_of("moon:prewarmed")
