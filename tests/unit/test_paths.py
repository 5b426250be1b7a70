"""Paths: one folder and one socket a daemon, never nteract's, and the notebook that a text names."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed import Session, paths
from runtimed.errors import DaemonError, InvalidRequest

HERE = Path("/somewhere")

pytestmark = pytest.mark.usefixtures("home")


# ------------------------------------------------------------------ folders and sockets


def test_everything_lies_in_our_own_folder_of_the_users_cache():
    assert paths.cache_root() == platformdirs.user_cache_path("runtimed", appauthor=False)
    assert paths.default_socket_path() == paths.cache_root() / "runtimed.sock"
    assert paths.cache_dir() == paths.cache_root()


def test_the_variables_beat_the_defaults(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(home / "c"))
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(home / "s.sock"))
    monkeypatch.setenv("RUNTIMED_ENV_DIR", str(home / "e"))

    assert paths.cache_root() == home / "c"
    assert paths.default_socket_path() == home / "s.sock"
    assert paths.environments_dir() == home / "e"


def test_daemons_on_two_sockets_never_share_a_folder(home: Path):
    folders = {paths.cache_dir(home / name) for name in ("a.sock", "b.sock")} | {paths.cache_dir()}

    assert len(folders) == 3


def test_a_socket_reached_by_a_link_is_the_same_socket(home: Path):
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")

    assert paths.cache_dir(home / "link" / "s.sock") == paths.cache_dir(home / "real" / "s.sock")


def test_dev_mode_has_a_socket_per_checkout(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_DEV", "1")
    sockets = set()
    for checkout in ("one", "two"):
        (home / checkout / ".git").mkdir(parents=True)
        (home / checkout / "deep" / "inside").mkdir(parents=True)
        monkeypatch.chdir(home / checkout / "deep" / "inside")
        sockets.add(paths.default_socket_path())
        assert paths.workspace() == home / checkout
        assert paths.cache_dir(paths.default_socket_path()) == paths.default_socket_path().parent

    assert len(sockets) == 2
    assert all(path.parents[1] == paths.cache_root() / "worktrees" for path in sockets)


def test_a_named_workspace_is_dev_mode_too(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_WORKSPACE_PATH", str(home))

    assert paths.workspace() == home
    assert paths.default_socket_path().parents[1] == paths.cache_root() / "worktrees"


def test_dev_mode_outside_a_checkout_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_DEV", "1")
    monkeypatch.chdir(home)

    with pytest.raises(InvalidRequest, match="not in a checkout; set RUNTIMED_WORKSPACE_PATH"):
        paths.default_socket_path()


@pytest.mark.parametrize("text", ["", "0"])
def test_dev_mode_is_off_unless_it_is_on(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_DEV", text)

    assert paths.workspace() is None


def test_a_socket_path_the_system_would_cut_is_refused_by_name():
    long = Path("/" + "x" * paths.SOCKET_PATH_MAX)

    with pytest.raises(DaemonError, match="RUNTIMED_SOCKET_PATH"):
        paths.check_socket_path(long)
    assert paths.check_socket_path(Path(str(long)[:-1]))


def test_the_length_of_a_socket_path_is_counted_in_bytes():
    with pytest.raises(DaemonError, match="too long"):
        paths.check_socket_path(Path("/" + "é" * (paths.SOCKET_PATH_MAX // 2 + 1)))


def test_nteracts_default_sockets_are_never_bound():
    sockets = paths.nteract_sockets()

    assert [path.parent.name for path in sockets] == ["runt", "runt-nightly"]
    for path in (*sockets, sockets[1].parent / "worktrees" / "0123456789ab" / "runtimed.sock"):
        with pytest.raises(DaemonError, match="nteract"):
            paths.check_bindable(path)


def test_only_our_own_folders_are_made(home: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DaemonError, match=r"no folder .*/nodir") as caught:
        paths.check_bindable(home / "nodir" / "x.sock")
    assert caught.value.hint is not None

    assert paths.check_bindable(home / "x.sock")
    monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(home / "not" / "yet"))
    assert paths.check_bindable(paths.default_socket_path())


def test_what_is_no_socket_is_never_replaced_by_one(home: Path):
    notebook, link = home / "analysis.ipynb", home / "link.sock"
    notebook.write_text("{}")
    link.symlink_to(notebook)

    for taken in (notebook, link, home):
        with pytest.raises(DaemonError, match="is no socket; it was left as it is"):
            paths.check_bindable(taken)


def test_other_sockets_beside_nteracts_may_be_bound(home: Path):
    beside = paths.nteract_sockets()[0].with_name("mine.sock")
    beside.parent.mkdir(parents=True)

    assert paths.check_bindable(beside) == beside
    assert paths.check_bindable(paths.default_socket_path()) == paths.default_socket_path()
    assert paths.check_bindable(Path("/runtimed.sock")) == Path("/runtimed.sock")


# ------------------------------------------------------------------ notebooks


def test_a_name_is_the_same_notebook_for_ever():
    ref = paths.notebook_id_of("data-analysis-2024", HERE)

    assert (ref.kind, ref.name, ref.path) == ("id", "data-analysis-2024", None)
    assert ref.notebook_id == "8f47add0-ade9-50b2-9b50-71143f1965af"


@given(st.uuids())
def test_a_uuid_is_itself_in_lower_case(known: uuid.UUID):
    ref = paths.notebook_id_of(str(known).upper(), HERE)

    assert (ref.kind, ref.notebook_id, ref.name) == ("id", str(known), None)


def test_what_merely_resembles_a_uuid_is_a_name():
    assert paths.notebook_id_of("deadbeef" * 4, HERE).name == "deadbeef" * 4


@given(st.text(alphabet="abcXYZ019 _-é", min_size=1).filter(str.strip))
def test_different_names_are_different_notebooks(name: str):
    one, other = (paths.notebook_id_of(text, HERE).notebook_id for text in (name, name + "x"))

    assert one != other


def test_a_path_is_the_clients_and_spellings_agree(home: Path):
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")
    spellings = ("real/a.ipynb", "./link/a.ipynb", f"{home}/real/../link/a.ipynb", "~/real/a.ipynb")

    refs = {paths.notebook_id_of(text, home) for text in spellings}

    assert refs == {paths.NotebookRef(kind="path", path=home / "real" / "a.ipynb")}


@pytest.mark.parametrize("text", ["a.ipynb", "folder/a", "./a"])
def test_an_ending_or_a_separator_makes_a_path(text: str):
    assert paths.notebook_id_of(text, HERE).kind == "path"


@pytest.mark.parametrize("text", ["", "  ", "a\x00b", "a\nb", "\ud800", "x\x00.ipynb"])
def test_what_cannot_be_a_notebook_is_refused(text: str):
    with pytest.raises(InvalidRequest, match="No notebook"):
        paths.notebook_id_of(text, HERE)


def test_a_path_object_is_a_path_whatever_its_name():
    assert paths.notebook_id_of(Path("a.ipynb"), HERE) == paths.notebook_id_of("a.ipynb", HERE)
    assert paths.notebook_id_of(Path("analysis"), HERE).path == HERE / "analysis"
    assert paths.notebook_id_of(Path("~/a.ipynb"), HERE) == paths.notebook_id_of("~/a.ipynb", HERE)


@pytest.mark.parametrize("other", [5, b"analysis", None, ["analysis"]])
def test_what_is_no_text_is_no_notebook(other: Any):
    with pytest.raises(InvalidRequest, match="it is no text"):
        paths.notebook_id_of(other, HERE)


def test_a_working_directory_that_is_gone_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    for notebook in ("a-name", "a.ipynb"):
        with pytest.raises(InvalidRequest, match="works in is gone"):
            Session(notebook)
