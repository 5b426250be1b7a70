"""Environments by what notebooks and projects ask for, from the real index, and a person's word where it takes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from runtimed import Session
from runtimed.errors import EnvError, InvalidRequest, NeedsApproval, NoKernel
from serving import Daemon, ended, runt, until

pytestmark = pytest.mark.timeout(180)

PYPROJECT = "[project]\nname = 'mine'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['iniconfig']\n"


@pytest.fixture(scope="module")
def served(shared_daemon: Daemon) -> Iterator[Daemon]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", " ")  # ipykernel alone
        shared_daemon.start()
        yield shared_daemon


def notebook(path: Path, **runt_sections: object) -> Path:
    metadata = {"runt": {"schema_version": "1", **runt_sections}} if runt_sections else {}
    path.write_text(json.dumps({"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def imported(session: Session, module: str) -> str:
    result = session.run(f"import {module}; print({module}.__file__)")
    assert result.success, result.outputs
    return result.stdout.strip()


def test_what_an_agent_names_is_installed_and_the_notebook_keeps_it(served: Daemon) -> None:
    with Session("named") as session:
        started = session.start_kernel(dependencies=["iniconfig"])
        assert started.env_source == "uv:inline"
        imported(session, "iniconfig")

        session.shutdown_kernel()
        session.start_kernel()

        imported(session, "iniconfig")
        status = session.kernel_status()
        assert status["environment"]["source"] == "uv:inline"
        assert "iniconfig" in status["environment"]["why"]


def test_a_misspelt_package_is_named_and_is_not_kept(served: Daemon) -> None:
    with Session("misspelt") as session:
        with pytest.raises(EnvError, match="no-such-thing-as-this-one"):
            session.start_kernel(dependencies=["no-such-thing-as-this-one"])

        assert session.start_kernel().env_source == "uv:prewarmed"


def test_a_script_block_in_a_cell_is_what_the_kernel_gets(served: Daemon) -> None:
    with Session("script") as session:
        session.create_cell("# /// script\n# dependencies = ['iniconfig']\n# ///\n")

        assert session.start_kernel().env_source == "uv:pep723"
        imported(session, "iniconfig")


def test_packages_that_came_with_a_file_wait_for_a_person(served: Daemon, tmp_path: Path) -> None:
    path = notebook(tmp_path / "theirs.ipynb", uv={"dependencies": ["iniconfig"]})
    with Session(str(path)) as session:
        with pytest.raises(NeedsApproval, match=r"iniconfig came with it.*runt trust approve"):
            session.start_kernel()
        assert session.kernel_status()["status"] == "awaiting_trust"
        session.create_cell("editing goes on")
        told = json.loads(runt("env", "explain", str(path), "--json").stdout)
        assert (told["env_source"], told["trusted"]) == ("uv:inline", False)

        approved = runt("trust", "approve", str(path))
        assert approved.returncode == 0, approved.stderr
        assert "iniconfig==" in approved.stdout

        assert session.start_kernel().env_source == "uv:inline"
        imported(session, "iniconfig")
        assert str(path) in runt("trust", "list").stdout


def test_an_approval_that_is_revoked_is_asked_for_again(served: Daemon, tmp_path: Path) -> None:
    path = notebook(tmp_path / "revoked.ipynb", uv={"dependencies": ["iniconfig<3"]})
    runt("trust", "approve", str(path))

    assert runt("trust", "revoke", str(path)).returncode == 0

    with Session(str(path)) as session, pytest.raises(NeedsApproval):
        session.start_kernel()


def test_an_allowed_name_needs_no_approval(served: Daemon, tmp_path: Path) -> None:
    path = notebook(tmp_path / "allowed.ipynb", uv={"dependencies": ["iniconfig>=1"]})
    runt("trust", "approve", "--package", "iniconfig")
    try:
        with Session(str(path)) as session:
            session.start_kernel()
            imported(session, "iniconfig")
    finally:
        runt("trust", "revoke", "iniconfig")


def test_a_notebook_in_a_project_runs_in_the_projects_venv(served: Daemon, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "notebooks").mkdir()
    path = notebook(tmp_path / "notebooks" / "mine.ipynb")
    with Session(str(path)) as session:
        with pytest.raises(NeedsApproval, match=r"uv:pyproject"):
            session.start_kernel()
        assert not (tmp_path / ".venv").exists()
        assert session.start_kernel(env_source="prewarmed").env_source == "uv:prewarmed"
        session.shutdown_kernel()

        approved = runt("trust", "approve", str(tmp_path))
        assert approved.returncode == 0, approved.stderr

        assert session.start_kernel().env_source == "uv:pyproject"
        assert Path(imported(session, "iniconfig")).is_relative_to(tmp_path / ".venv")
        assert not list((tmp_path / ".venv").glob("lib/*/site-packages/ipykernel"))
        where = session.run("import os; print(os.getcwd())").stdout.strip()
        assert where == str(tmp_path / "notebooks")


def test_a_project_that_changed_after_its_approval_is_asked_for_again(served: Daemon, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    path = notebook(tmp_path / "mine.ipynb")
    assert runt("trust", "approve", str(path)).returncode == 0
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.replace("'iniconfig'", "'iniconfig', 'pluggy'"))

    with Session(str(path)) as session, pytest.raises(NeedsApproval, match="pluggy"):
        session.start_kernel()


HANGS = """
import os, pathlib, signal
def build_wheel(*_):
    pathlib.Path("builder").write_text(str(os.getpid()))
    signal.pause()
"""


def test_a_package_that_hangs_while_it_builds_is_let_go_of_on_a_word(served: Daemon, tmp_path: Path) -> None:
    depends = PYPROJECT.replace("iniconfig", "hangs") + "[tool.uv.sources]\nhangs = { path = 'hangs' }\n"
    (tmp_path / "pyproject.toml").write_text(depends)
    (tmp_path / "hangs").mkdir()
    (tmp_path / "hangs" / "backend.py").write_text(HANGS)
    (tmp_path / "hangs" / "pyproject.toml").write_text(
        PYPROJECT.replace("mine", "hangs").replace("'iniconfig'", "")
        + "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    path = notebook(tmp_path / "mine.ipynb")
    assert runt("trust", "approve", str(path)).returncode == 0

    with Session(str(path)) as session, Session(str(path)) as other, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(session.start_kernel)
        told = tmp_path / "hangs" / "builder"
        until(told.exists)
        builder = psutil.Process(int(until(told.read_text)))
        until(lambda: "hangs" in str(other.kernel_status().get("progress")))

        other.shutdown_kernel()

        with pytest.raises(NoKernel, match="shut down while it started"):
            waiting.result(30)
        until(lambda: ended(builder))
        assert other.start_kernel(env_source="prewarmed").env_source == "uv:prewarmed"


def test_malformed_metadata_and_projects_say_what_is_wrong(served: Daemon, tmp_path: Path) -> None:
    path = notebook(tmp_path / "odd.ipynb", uv={"dependencies": "iniconfig"})
    with Session(str(path)) as session, pytest.raises(InvalidRequest, match="must be a list of strings"):
        session.start_kernel()

    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "pyproject.toml").write_text("[project\n")
    path = notebook(tmp_path / "p" / "n.ipynb")
    with Session(str(path)) as session, pytest.raises(InvalidRequest, match=r"pyproject\.toml cannot be read"):
        session.start_kernel()


def test_what_a_kernel_runs_from_is_listed_and_never_cleaned_away(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIMED_ENV_DIR", str(tmp_path / "environments"))  # the other tests share theirs
    monkeypatch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", " ")
    daemon.start("--uv-pool-size", "0")
    with Session("kept") as session:
        session.start_kernel()
        kept = json.loads(runt("env", "list", "--json").stdout)["layers"]
        used = {layer["key"] for layer in kept if layer["in_use"]}
        assert used

        assert runt("env", "clean", "--all", timeout=120).returncode == 0

        left = json.loads(runt("env", "list", "--json").stdout)["layers"]
        assert used <= {layer["key"] for layer in left}
        assert session.run("import ipykernel.connect").success
