"""Settings: defaults, then environment, then command line become one frozen value, or an error naming the culprit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runtimed import paths
from runtimed.errors import InvalidRequest
from runtimed.settings import Settings

pytestmark = pytest.mark.usefixtures("home")


def test_the_defaults_are_the_paths_own():
    settings = Settings.load(environ={})

    assert settings.socket_path == paths.default_socket_path()
    assert settings.cache_dir == paths.cache_dir()
    assert settings.blob_dir == settings.socket_path.parent / "blobs"
    assert settings.env_dir == paths.environments_dir()
    assert settings.uv_default_packages == ("numpy", "pandas", "matplotlib")


def test_the_command_line_beats_the_environment():
    environ = {"RUNTIMED_UV_POOL_SIZE": "3", "RUNTIMED_KEEP_ALIVE_SECS": "2.5"}

    settings = Settings.load({"uv_pool_size": 7, "conda_pool_size": None}, environ=environ)

    assert (settings.uv_pool_size, settings.keep_alive_secs, settings.conda_pool_size) == (7, 2.5, 0)


def test_the_api_version_that_nteracts_app_asks_for_can_be_said():
    assert Settings.load(environ={}).daemon_api_version == 1
    assert Settings.load(environ={"RUNTIMED_DAEMON_API_VERSION": "3"}).daemon_api_version == 3
    with pytest.raises(InvalidRequest, match="RUNTIMED_DAEMON_API_VERSION"):
        Settings.load(environ={"RUNTIMED_DAEMON_API_VERSION": "three"})


def test_a_named_cache_folder_holds_everything(tmp_path: Path):
    settings = Settings.load({"cache_dir": tmp_path}, environ={})

    assert settings.blob_dir == tmp_path / "blobs"
    assert settings.env_dir == tmp_path / "environments"
    assert settings.log_path == tmp_path / "runtimed.log"


def test_a_named_socket_brings_a_folder_of_its_own(tmp_path: Path):
    settings = Settings.load({"socket_path": tmp_path / "s.sock"}, environ={})

    assert settings.cache_dir == paths.cache_dir(tmp_path / "s.sock") != paths.cache_dir()
    assert settings.lock_path == tmp_path / "s.lock"
    assert settings.env_dir == paths.environments_dir()


def test_environments_can_be_shared_between_cache_folders(tmp_path: Path):
    settings = Settings.load({"cache_dir": tmp_path / "c"}, environ={"RUNTIMED_ENV_DIR": str(tmp_path / "e")})

    assert settings.env_dir == tmp_path / "e"


def test_relative_paths_are_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    assert Settings.load({"cache_dir": Path("c")}, environ={}).cache_dir == tmp_path / "c"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("RUNTIMED_UV_POOL_SIZE", "many"),
        ("RUNTIMED_CONDA_POOL_SIZE", "-1"),
        ("RUNTIMED_KEEP_ALIVE_SECS", "nan"),
        ("RUNTIMED_KEEP_ALIVE_SECS", "-3"),
        ("RUNTIMED_OUTPUT_SHARE", "0"),
        ("RUNTIMED_OUTPUT_SHARE", "1.5"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable: str, text: str):
    with pytest.raises(InvalidRequest, match=variable):
        Settings.load(environ={variable: text})


def test_an_empty_variable_is_no_variable():
    assert Settings.load(environ={"RUNTIMED_UV_POOL_SIZE": ""}).uv_pool_size == 2


def test_packages_may_be_parted_by_commas_or_spaces():
    settings = Settings.load(environ={"RUNTIMED_UV_DEFAULT_PACKAGES": "numpy, polars>=1 altair"})

    assert settings.uv_default_packages == ("numpy", "polars>=1", "altair")


def test_a_setting_that_nobody_knows_is_named():
    with pytest.raises(InvalidRequest, match="pool_sise"):
        Settings.load({"pool_sise": 1})


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.load(environ={}).uv_pool_size = 9  # type: ignore[misc]
