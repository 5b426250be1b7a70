from __future__ import annotations

import pytest

from runtimed.docs.declared import Declared, Inline
from runtimed.environments.inline import Requirements, requirements_of, requirements_of_script
from runtimed.errors import InvalidRequest


def test_what_a_notebook_asks_of_uv_is_read_from_its_metadata() -> None:
    declared = Declared(uv=Inline(dependencies=("polars>=1",), python=">=3.11", prerelease="allow"))

    assert requirements_of(declared) == Requirements(("polars>=1",), ">=3.11", "allow")
    assert requirements_of(Declared()) == Requirements(())


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (Inline(problem="runt.uv.dependencies must be a list of strings"), "must be a list of strings"),
        (Inline(dependencies=("polars >",)), "'polars >' is no requirement"),
        (Inline(dependencies=("--index-url=x",)), "is no requirement"),
        (Inline(dependencies=("polars",), python="three"), "'three' is no version specifier"),
    ],
)
def test_malformed_metadata_says_what_is_wrong(section: Inline, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        requirements_of(Declared(uv=section))


def test_a_script_block_is_read_like_metadata() -> None:
    script = 'dependencies = ["polars"]\nrequires-python = ">=3.11"\n'

    assert requirements_of_script(Declared(script=script)) == Requirements(("polars",), ">=3.11")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("dependencies = [", "not valid TOML"),
        ("dependencies = 'polars'", "must be a list of strings"),
        ("dependencies = ['a b']", "'a b' is no requirement"),
        ("requires-python = 3", "must be a string"),
        ("requires-python = 'x'", "no version specifier"),
    ],
)
def test_a_malformed_script_block_says_what_is_wrong(script: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        requirements_of_script(Declared(script=script))
