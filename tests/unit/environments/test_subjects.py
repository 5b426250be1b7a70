from __future__ import annotations

from pathlib import Path

import pytest

from ordering import an_order
from runtimed.docs.declared import Declared, Inline
from runtimed.environments.subjects import Subject, subject_of

HERE = Path("/nowhere")
POLARS = Declared(uv=Inline(dependencies=("polars", "duckdb")))


def inline(declared: Declared, *foreign: str) -> Subject:
    found = subject_of(an_order(HERE, HERE, "auto", declared=declared), foreign, "/n.ipynb")
    assert found is not None
    return found


def project(folder: Path, text: str) -> Subject:
    (folder / "pyproject.toml").write_text(text)
    found = subject_of(an_order(folder, folder, "uv:pyproject", folder=folder), (), "/n.ipynb")
    assert found is not None
    return found


@pytest.mark.parametrize("source", ["uv:prewarmed", "conda:prewarmed", "deno", "kernelspec:ir"])
def test_what_the_settings_name_is_nobodys_subject(source: str) -> None:
    assert subject_of(an_order(HERE, HERE, source, declared=POLARS), ("uv polars",), "/n.ipynb") is None


def test_only_what_came_with_the_file_is_foreign() -> None:
    assert inline(POLARS, "uv polars", "conda duckdb").foreign == ("polars",)


def test_a_script_block_is_judged_like_metadata() -> None:
    assert inline(Declared(script="dependencies = ['x']"), "uv x").foreign == ("x",)


def test_the_digest_follows_all_that_decides_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {
        inline(declared).digest
        for declared in (
            POLARS,
            Declared(uv=Inline(dependencies=("polars",))),
            Declared(uv=Inline(dependencies=("polars",), prerelease="allow")),
            Declared(uv=Inline(dependencies=("polars",), python=">=3.12")),
            Declared(script="dependencies = ['polars']"),
        )
    }
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://elsewhere/simple")

    assert len(digests | {inline(POLARS).digest}) == 6


def test_an_address_or_a_channel_is_for_a_person_whoever_wrote_it() -> None:
    assert inline(Declared(uv=Inline(dependencies=("x @ https://elsewhere/x.whl",)))).only_by_hand
    assert inline(Declared(conda=Inline(dependencies=("x",), channels=("https://elsewhere",)))).only_by_hand


def test_a_plain_project_is_judged_by_its_names(tmp_path: Path) -> None:
    found = project(
        tmp_path, "[project]\nname='p'\nversion='1'\ndependencies=['polars']\n[dependency-groups]\ndev=['ruff']\n"
    )

    assert found.foreign == ("polars", "ruff")
    assert found.only_by_hand is None
    assert found.place == str(tmp_path / "pyproject.toml")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("[build-system]\nrequires=['hatchling']\n", "runs its code"),
        ("[tool.uv.sources]\npolars={git='https://elsewhere'}\n", "sources takes packages from elsewhere"),
        ("[[tool.uv.index]]\nurl='https://elsewhere'\n", "index takes packages from elsewhere"),
        ("[dependency-groups]\ndev=['x @ https://elsewhere/x.whl']\n", "no name in the configured index"),
    ],
)
def test_what_a_project_builds_or_takes_from_elsewhere_is_for_a_person(tmp_path: Path, more: str, reason: str) -> None:
    assert reason in str(project(tmp_path, f"[project]\nname='p'\nversion='1'\ndependencies=[]\n{more}").only_by_hand)


def test_a_lock_may_only_name_the_configured_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://me:secret@mine/simple")  # a lock holds no login
    text = "[project]\nname='p'\nversion='1'\ndependencies=['polars']\n"
    lock = "[[package]]\nname='polars'\nversion='1'\nsource={registry='https://mine/simple'}\n"
    (tmp_path / "uv.lock").write_text(lock)
    mine = project(tmp_path, text)
    (tmp_path / "uv.lock").write_text(lock.replace("mine", "elsewhere"))
    other = project(tmp_path, text)

    assert mine.only_by_hand is None
    assert "https://elsewhere/simple" in str(other.only_by_hand)
    assert mine.digest != other.digest


def of_conda(folder: Path, name: str, text: str) -> Subject:
    (folder / name).write_text(text)
    source = "conda:env_yml" if name == "environment.yml" else "pixi:toml"
    found = subject_of(an_order(folder, folder, source, folder=folder, channels=["conda-forge"]), (), "/n.ipynb")
    assert found is not None
    return found


def test_an_environment_yml_of_the_configured_channels_is_judged_by_its_names(tmp_path: Path) -> None:
    found = of_conda(tmp_path, "environment.yml", "dependencies: [python=3.11, numpy >=1, {pip: [rich]}]\n")

    assert set(found.foreign) == {"python=3.11", "numpy >=1", "rich"}
    assert found.only_by_hand is None


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("environment.yml", "channels: [https://elsewhere]\ndependencies: [numpy]\n", "not among the configured"),
        ("environment.yml", "dependencies: ['other::numpy']\n", "no name in the configured index"),
        ("environment.yml", "dependencies: [{pip: ['x @ https://elsewhere/x.whl']}]\n", "no name in the configured"),
        ("pixi.toml", "[workspace]\nchannels = ['https://elsewhere']\n[dependencies]\nnumpy = '*'\n", "not among"),
    ],
)
def test_a_channel_or_an_address_of_its_own_is_for_a_person(tmp_path: Path, name: str, text: str, reason: str) -> None:
    assert reason in str(of_conda(tmp_path, name, text).only_by_hand)
