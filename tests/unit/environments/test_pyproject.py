from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from ordering import an_order
from running import say
from runtimed.environments.environment import Environment
from runtimed.environments.prepare import prepare
from runtimed.environments.pyproject import lock_if_missing, lock_path, read_pyproject
from runtimed.errors import EnvError, InvalidRequest, SolveError

PYPROJECT = "[project]\nname = 'mine'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['tiny', 'pyzmq<2']\n"


@pytest.fixture
def project(tmp_path: Path, wheels: Path) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


async def build(project: Path, tmp_path: Path) -> Environment:
    looking_up = partial(an_order, tmp_path / "store", tmp_path / "room", "uv:pyproject", folder=project)
    return await prepare(await asyncio.to_thread(looking_up))


@pytest.mark.anyio
async def test_the_projects_own_venv_is_synced_and_the_kernel_stands_beside_it(project: Path, tmp_path: Path) -> None:
    environment = await build(project, tmp_path)

    said = await say(environment, "import tiny, ipykernel; print(tiny.__file__); print(ipykernel.__file__)")
    tiny, ipykernel = said.splitlines()
    assert Path(tiny).is_relative_to(project / ".venv")
    assert Path(ipykernel).is_relative_to(environment.layers[0].path)
    assert (project / "uv.lock").exists()
    assert {"tiny==1.0", "pyzmq==1.0"} <= set(environment.pinned)


@pytest.mark.anyio
async def test_the_kernels_packages_keep_to_the_projects_pins(
    project: Path, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("pyzmq", "2.0", {"zmq/__init__.py": "NEW = True\n"})

    environment = await build(project, tmp_path)

    assert await say(environment, "import zmq; print(hasattr(zmq, 'NEW'))") == "False"
    layer = environment.layers[0].path / "requirements.lock"
    assert "pyzmq==1.0" in layer.read_text()


@pytest.mark.anyio
async def test_a_lock_that_is_out_of_step_is_left_alone_and_said(project: Path, tmp_path: Path) -> None:
    await build(project, tmp_path)
    locked = (project / "uv.lock").read_text()
    (project / "pyproject.toml").write_text(PYPROJECT.replace("'tiny'", "'tiny', 'pip'"))

    with pytest.raises(SolveError, match=r"has changed since uv\.lock was made.*uv lock --project"):
        await build(project, tmp_path)

    assert (project / "uv.lock").read_text() == locked


@pytest.mark.anyio
async def test_what_the_user_installed_beside_the_lock_stays(project: Path, tmp_path: Path) -> None:
    await build(project, tmp_path)
    extra = next((project / ".venv" / "lib").glob("python3*/site-packages")) / "extra-1.dist-info"
    extra.mkdir()
    (extra / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1\n")
    (extra / "RECORD").write_text("")

    await build(project, tmp_path)

    assert extra.exists()


@pytest.mark.anyio
async def test_a_package_that_is_not_there_is_named(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.replace("tiny", "no-such-thing"))

    with pytest.raises(EnvError, match="no-such-thing"):
        await build(project, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[project\n", "cannot be read"),
        ("project = 3\n", "must be a table"),
        ("[project]\ndependencies = 'tiny'\n", "must be a list of strings"),
    ],
)
def test_a_malformed_file_says_what_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)

    with pytest.raises(InvalidRequest, match=reason):
        read_pyproject(tmp_path / "pyproject.toml")


def test_a_member_of_a_workspace_has_the_workspaces_lock(tmp_path: Path) -> None:
    member = tmp_path / "packages" / "a"
    member.mkdir(parents=True)
    (tmp_path / "uv.lock").touch()
    assert lock_path(member) == member / "uv.lock"
    (tmp_path / "pyproject.toml").write_text("[tool.uv.workspace]\nmembers = ['packages/*']\n")
    assert lock_path(member) == tmp_path / "uv.lock"


@pytest.fixture
def locked(project: Path) -> Iterator[Path]:
    """The project with a lock, in a folder that nobody can write."""
    asyncio.run(lock_if_missing(project / "pyproject.toml", project.parent / "other store"))
    project.chmod(0o555)
    if os.access(project, os.W_OK):  # root may write anywhere, except here
        subprocess.run(["chattr", "+i", str(project)], check=True)
    yield project
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-i", str(project)], check=True)
    project.chmod(0o755)


@pytest.mark.anyio
async def test_a_project_that_cannot_be_written_gets_its_venv_with_us(locked: Path, tmp_path: Path) -> None:
    environment = await build(locked, tmp_path)

    tiny = await say(environment, "import tiny; print(tiny.__file__)")
    assert Path(tiny).is_relative_to(tmp_path / "store" / "projects")
    assert not (locked / ".venv").exists()
