from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.environments.indexes import index_settings, withhold

CERTIFIED = {"SSL_CERT_FILE": "/certs.pem"}


def pip_conf(home: Path, text: str) -> dict[str, str]:
    """The variables that uv gets when pip's own file says ``text`` and nothing else is set."""
    path = home / "chosen.conf"
    path.write_text(text)
    return dict(index_settings({"PIP_CONFIG_FILE": str(path)} | CERTIFIED, home).variables)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    return tmp_path


def test_what_pip_is_told_in_its_file_is_told_to_uv(folder: Path) -> None:
    wheels = folder / "wheels"

    variables = pip_conf(
        folder,
        f"""
        [global]
        index-url = https://me:secret@one.test/simple
        [install]
        extra-index-url =
            https://two.test/simple
            file://{wheels}
        find-links = {wheels} /nowhere/at/all
        trusted-host = one.test
        """.replace("\n        ", "\n"),
    )

    assert variables["UV_DEFAULT_INDEX"] == "https://me:secret@one.test/simple"
    assert variables["UV_INDEX"] == f"https://two.test/simple file://{wheels}"
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-first-match"
    assert variables["UV_FIND_LINKS"] == str(wheels)
    assert variables["UV_INSECURE_HOST"] == "one.test"


def test_variables_beat_files_as_in_pip(folder: Path) -> None:
    path = folder / "pip.conf"
    path.write_text("[global]\nindex-url = https://file.test/simple\n")
    environ = {"PIP_CONFIG_FILE": str(path), "PIP_INDEX_URL": "https://variable.test/simple"}

    assert index_settings(environ, folder).variables["UV_DEFAULT_INDEX"] == "https://variable.test/simple"


def test_the_users_own_file_is_found_in_their_home(folder: Path) -> None:
    path = folder / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text("[global]\nindex-url = https://home.test/simple\n")

    assert index_settings({}, folder).variables["UV_DEFAULT_INDEX"] == "https://home.test/simple"


def test_where_nothing_is_configured_nothing_is_added(folder: Path) -> None:
    assert pip_conf(folder, "") == {}


def test_a_file_that_cannot_be_read_counts_as_empty(folder: Path) -> None:
    assert pip_conf(folder, "index-url without a section") == {}


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL"])
def test_uvs_own_variables_are_not_mixed_with_pips(folder: Path, variable: str) -> None:
    environ = {variable: "https://uv.test/simple", "PIP_INDEX_URL": "https://pip.test/simple"} | CERTIFIED

    assert "UV_DEFAULT_INDEX" not in index_settings(environ, folder).variables


def test_the_users_uv_file_is_used_and_if_it_names_indexes_pips_are_not(folder: Path) -> None:
    path = folder / ".config" / "uv" / "uv.toml"
    path.parent.mkdir(parents=True)
    environ = {"PIP_INDEX_URL": "https://pip.test/simple", "PIP_CONFIG_FILE": "/dev/null"} | CERTIFIED

    path.write_text('[[index]]\nurl = "https://uv.test/simple"\n')
    named = index_settings(environ, folder)
    path.write_text("no-cache = false\n")
    unnamed = index_settings(environ, folder)

    assert named.arguments == unnamed.arguments == ("--config-file", str(path))
    assert dict(named.variables) == {}
    assert unnamed.variables["UV_DEFAULT_INDEX"] == "https://pip.test/simple"


def test_a_uv_file_above_our_folder_is_never_found_by_chance(folder: Path) -> None:
    assert "--no-config" in index_settings({}, folder).arguments


def test_no_index_is_passed_on(folder: Path) -> None:
    assert "--no-index" in index_settings({"PIP_NO_INDEX": "1"}, folder).arguments
    assert "--no-index" not in index_settings({"PIP_NO_INDEX": "0"}, folder).arguments


def test_certificates_and_proxies_are_passed_on_where_none_are_set(folder: Path) -> None:
    environ = {"PIP_CERT": "/pip.pem", "PIP_PROXY": "http://proxy.test:1", "PIP_CONFIG_FILE": "/dev/null"}

    assert dict(index_settings(environ, folder).variables) == {
        "SSL_CERT_FILE": "/pip.pem",
        "HTTPS_PROXY": "http://proxy.test:1",
        "HTTP_PROXY": "http://proxy.test:1",
    }
    set_already = {"SSL_CERT_FILE": "/own.pem", "https_proxy": "http://own.test:1", "HTTP_PROXY": "http://own.test:1"}
    assert dict(index_settings(environ | set_already, folder).variables) == {}


def test_a_folder_of_certificates_is_named_as_one(folder: Path) -> None:
    environ = {"PIP_CERT": str(folder), "PIP_CONFIG_FILE": "/dev/null"}

    assert index_settings(environ, folder).variables["SSL_CERT_DIR"] == str(folder)


def test_the_digest_tells_configurations_apart_and_nothing_shows_them(folder: Path) -> None:
    one = index_settings({"PIP_INDEX_URL": "https://me:secret@one.test/simple"}, folder)
    two = index_settings({"PIP_INDEX_URL": "https://me:secret@two.test/simple"}, folder)

    assert one.digest({}) != two.digest({})
    assert one.digest({}) == one.digest({"UV_CACHE_DIR": "/elsewhere", "HOME": "/root"})
    assert "secret" not in repr(one) + one.digest({})


def test_an_error_text_keeps_the_package_and_withholds_the_address() -> None:
    text = "Failed to fetch: `https://me:secret@one.test:8080/simple/numpy/` (https://one.test/x/numpy-1.whl#sha256=1)"

    assert withhold(text) == "Failed to fetch: `<package index>/numpy` (<package index>/numpy-1.whl#sha256=1)"
