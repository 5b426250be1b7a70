"""Sources of environments, as a session asks a daemon for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from elsewhere import install
from runtimed.client.sync import Session
from runtimed.errors import InvalidRequest, SolveError
from serving import Daemon, ended, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def place(shared_daemon: Daemon, channel: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that knows the channel of the tests, and another's provisioner."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in install(tmp_path_factory.mktemp("far")).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RUNTIMED_CONDA_CHANNELS", channel)
        monkeypatch.setenv("RUNTIMED_CONDA_DEFAULT_PACKAGES", "greeting")
        monkeypatch.setenv("RUNTIMED_TRUST", "all")  # what may be installed is another matter
        shared_daemon.start()
        yield shared_daemon


def test_conda_prewarmed_is_started_with_progress(place: Daemon) -> None:
    with Session("prewarmed conda") as session:
        session.start_kernel("python", "conda:prewarmed")

        result = session.run("import greeting, os; print(greeting.VERSION, os.path.isdir(os.environ['CONDA_PREFIX']))")
        assert result.stdout == "2.0 True\n"
        assert session.env_source == "conda:prewarmed"


def test_auto_takes_the_environment_yml_beside_the_notebook(place: Daemon, tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text("dependencies: [greeting=1]\n")
    with Session(str(tmp_path / "a.ipynb")) as session:
        session.start_kernel()

        assert session.run("import greeting; print(greeting.VERSION)").stdout == "1.0\n"
        assert session.env_source == "conda:env_yml"


def test_a_misspelt_package_is_named_and_editing_goes_on(place: Daemon) -> None:
    with Session("misspelt") as session:
        asked = {"runt": {"conda": {"dependencies": ["gretting"]}}}
        session.set_metadata("notebook_metadata", json.dumps(asked))

        with pytest.raises(SolveError, match="No candidates were found for gretting"):
            session.start_kernel()
        cell = session.create_cell("1 + 1")
        session.start_kernel("python", "conda:prewarmed")
        assert session.execute_cell(cell).success


def test_an_installed_kernelspec_runs_where_its_provisioner_says(place: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "far.ipynb"
    with Session(str(path)) as session:
        session.start_kernel("python", "kernelspec:far")
        assert session.run("import os; print(os.environ['FAR_SITE'])").stdout == "moon\n"
        assert session.env_source == "kernelspec:far"

        session.restart_kernel()
        assert session.run("import os; print(os.environ['FAR_SITE'])").stdout == "moon\n"
        session.save()
    nbformat.validate(nbformat.read(path, as_version=4))


def test_an_unknown_kernelspec_lists_those_that_are_installed(place: Daemon) -> None:
    with Session("unknown spec") as session, pytest.raises(InvalidRequest, match=r"'nope'.*installed: .*far"):
        session.start_kernel("python", "kernelspec:nope")


def test_a_killed_daemon_leaves_no_deno(place: Daemon) -> None:
    session = Session("orphan")
    session.connect()
    session.start_kernel("deno")
    kernel = psutil.Process(int(str(session.run("Deno.pid").display_data[-1].data["text/plain"])))  # type: ignore[index]

    place.kill()
    session.close()
    place.start()

    until(lambda: ended(kernel))
