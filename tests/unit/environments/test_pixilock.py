from __future__ import annotations

from pathlib import Path

from runtimed.environments.condaspec import subdir
from runtimed.environments.pixilock import read_lock

HASH = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
WHEEL = "https://files.example.org/six-1.17.0-py2.py3-none-any.whl"


def locked(folder: Path, *packages: str) -> tuple[str, ...]:
    """What is read from a lock of PyPI packages, each ``location`` and then its other lines."""
    entries = [package.split("\n") for package in packages]
    lock = folder / "pixi.lock"
    lock.write_text(
        "version: 6\nenvironments:\n  default:\n"
        "    channels: [{url: 'https://channel.example.org/'}]\n    indexes: ['https://index.example.org/simple']\n"
        f"    packages:\n      {subdir()}:\n"
        + "".join(f"      - pypi: {place}\n" for place, *_ in entries)
        + "packages:\n"
        + "".join(f"- pypi: {place}\n" + "".join(f"  {line}\n" for line in more) for place, *more in entries)
    )
    return read_lock(lock).pypi


def test_a_file_is_locked_with_its_hash(tmp_path: Path) -> None:
    found = locked(tmp_path, f"{WHEEL}\nname: six\nversion: 1.17.0\nsha256: {HASH}")

    assert found == (f"six==1.17.0 --hash=sha256:{HASH}",)


def test_a_file_whose_hash_nobody_wrote_down_is_locked_by_its_version(tmp_path: Path) -> None:
    assert locked(tmp_path, f"{WHEEL}\nname: six\nversion: 1.17.0") == ("six==1.17.0",)


def test_a_folder_and_a_repository_are_left_to_the_manifest(tmp_path: Path) -> None:
    found = locked(
        tmp_path,
        f"./\nname: mine\nversion: 0.1.0\nsha256: {HASH}\neditable: true",
        "git+https://code.example.org/theirs?rev=main#0123456789abcdef0123456789abcdef01234567\n"
        "name: theirs\nversion: 0.2.0",
    )

    assert found == ()
