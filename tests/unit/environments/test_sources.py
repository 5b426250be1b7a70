from __future__ import annotations

import pytest

from runtimed.environments.sources import SOURCES, choose
from runtimed.errors import InvalidRequest, NotAvailable


@pytest.mark.parametrize("asked", ["auto", "", "uv:prewarmed", "auto:uv", "prewarmed"])
def test_what_works_now_is_the_prewarmed_uv_environment(asked: str) -> None:
    source = choose("python", asked)

    assert (source.kernel_type, source.name) == ("python", "uv:prewarmed")
    assert "uv:prewarmed" in source.why


def test_no_kernel_type_means_python() -> None:
    assert choose("", "auto").kernel_type == "python"


@pytest.mark.parametrize(
    "asked",
    ["conda:prewarmed", "uv:inline", "conda:inline", "uv:pyproject", "conda:env_yml", "uv:pep723", "pixi:toml",
     "pixi:inline", "pixi:prewarmed", "auto:conda", "kernelspec:ir"],
)  # fmt: skip
def test_what_comes_later_says_so_and_what_works_now(asked: str) -> None:
    with pytest.raises(NotAvailable, match=r"not available yet.*'auto' or 'uv:prewarmed'"):
        choose("python", asked)


def test_deno_comes_later_too() -> None:
    with pytest.raises(NotAvailable, match="'deno' is not available yet"):
        choose("deno", "auto")


@pytest.mark.parametrize("asked", ["conda", "uv:prewarm", "UV:PREWARMED", "kernelspec:", "\x00"])
def test_an_unknown_source_lists_the_known_ones(asked: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        choose("python", asked)

    assert all(source in str(caught.value) for source in SOURCES)


def test_an_unknown_kernel_type_lists_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="one of: python, deno"):
        choose("julia", "auto")
