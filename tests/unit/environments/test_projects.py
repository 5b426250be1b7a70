from __future__ import annotations

from pathlib import Path

from runtimed.environments.projects import look_up

PROJECT = "[project]\nname = 'p'\n"


def sources(folder: Path, home: Path) -> list[str]:
    return [file.source for file in look_up(folder, home).files]


def test_the_closest_folder_wins_and_within_it_pyproject(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "a" / "environment.yml").touch()
    (tmp_path / "a" / "pixi.toml").touch()

    assert sources(inner, tmp_path) == ["pixi:toml", "conda:env_yml", "uv:pyproject"]


def test_the_walk_ends_at_the_git_root_and_at_home(tmp_path: Path) -> None:
    inner = tmp_path / "home" / "repo" / "notebooks"
    inner.mkdir(parents=True)
    (tmp_path / "pixi.toml").touch()
    (tmp_path / "home" / "environment.yml").touch()

    assert sources(inner, tmp_path / "home") == ["conda:env_yml"]
    (tmp_path / "home" / "repo" / ".git").mkdir()
    assert sources(inner, tmp_path / "home") == []
    (tmp_path / "home" / "repo" / "environment.yaml").touch()
    assert sources(inner, tmp_path / "home") == ["conda:env_yml"]


def test_a_pyproject_that_only_configures_tools_is_passed_over_and_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\n")

    found = look_up(tmp_path, tmp_path)

    assert not found.files
    assert "only configures tools" in " ".join(found.looked)


def test_a_pyproject_of_pixi_is_pixis_and_a_broken_one_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pixi.dependencies]\n")
    assert sources(tmp_path, tmp_path) == ["pixi:toml"]
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert sources(tmp_path, tmp_path) == ["uv:pyproject"]
