from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runtimed.environments.holds import Hold
from runtimed.environments.keeping import collect, usage
from runtimed.environments.layers import Layer, LayerStore, Resolved
from runtimed.environments.uv import find_uv

DAY = 86_400.0
MB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    store = LayerStore(tmp_path / "environments")
    store.make_folders()
    return store


def publish(store: LayerStore, key: str, *, unused_for: float = DAY, size: int = MB) -> Layer:
    built = store.workplace(key)
    (built / "lib").mkdir(parents=True)
    (built / "lib" / "module.py").write_bytes(b"#" * size)
    layer = store.publish(key, built)
    store.remember(f"id-{key}", Resolved(key, (f"{key}==1",)))
    used = time.time() - unused_for
    os.utime(layer.path / ".last-used", (used, used))
    return layer


def keys(store: LayerStore) -> list[str]:
    return [kept.key for kept in usage(store).layers]


def test_what_is_kept_is_told_with_the_latest_first(store: LayerStore) -> None:
    publish(store, "old", unused_for=3 * DAY)
    publish(store, "new", size=2 * MB)

    first, second = usage(store).layers

    assert (first.key, first.size >= 2 * MB, first.packages) == ("new", True, ("new==1",))
    assert second.key == "old" and not second.in_use


def test_what_was_not_used_for_long_goes(store: LayerStore) -> None:
    publish(store, "old", unused_for=31 * DAY)
    publish(store, "new")

    gone = collect(store, limit=100 * MB)

    assert gone.layers == 1 and gone.size >= MB
    assert keys(store) == ["new"]
    assert store.recall("id-old") is None and store.recall("id-new") is not None
    assert not list((store.root / "tmp").iterdir())


def test_the_longest_unused_go_until_the_rest_fits(store: LayerStore) -> None:
    for days in range(1, 6):
        publish(store, f"k{days}", unused_for=days * DAY)

    collect(store, limit=2 * MB + 100_000)

    assert keys(store) == ["k1", "k2"]


def test_one_in_use_is_never_removed_whoever_looks(store: LayerStore) -> None:
    layer = publish(store, "used", unused_for=99 * DAY)
    hold = Hold()
    hold.take([layer.path])

    cleaner = "import sys; from pathlib import Path; from runtimed.environments.keeping import collect; "
    cleaner += "from runtimed.environments.layers import LayerStore; collect(LayerStore(Path(sys.argv[1])), limit=0)"
    subprocess.run([sys.executable, "-c", cleaner, str(store.root)], check=True)
    assert keys(store) == ["used"]
    assert usage(store).layers[0].in_use

    hold.let_go()
    collect(store, limit=0)
    assert keys(store) == []


def test_one_that_was_just_made_is_left_alone(store: LayerStore) -> None:
    publish(store, "new", unused_for=1)

    assert collect(store, limit=0).layers == 0
    assert collect(store, limit=0, recent=0).layers == 1


def test_one_being_built_is_left_alone(store: LayerStore) -> None:
    publish(store, "again", unused_for=99 * DAY)

    with store.try_lock("again"):
        assert collect(store, limit=0).layers == 0


def test_downloads_go_when_that_is_what_takes_the_place(store: LayerStore) -> None:
    layer = publish(store, "new", unused_for=1)
    os.link(layer.path / "lib" / "module.py", store.cache / "shared")
    (store.cache / "unshared").write_bytes(b"#" * 3 * MB)
    assert 3 * MB <= usage(store).cache < 4 * MB

    collect(store, limit=2 * MB)

    assert not store.cache.exists()
    assert keys(store) == ["new"]


@pytest.mark.parametrize("name", ["conda-cache", "deno-cache"])
def test_downloads_that_somebody_uses_are_left_alone(store: LayerStore, name: str) -> None:
    (store.root / name / "package").write_bytes(b"#" * MB)
    hold = Hold()
    hold.take([store.root / name])

    assert collect(store, limit=0).size == 0
    assert (store.root / name / "package").exists()

    hold.let_go()
    assert collect(store, limit=0).size == MB
    assert not (store.root / name).exists()


BACKEND = """
def build_wheel(*_):
    open("started", "w").close()  # both are pipes: each waits for its other end
    open("go on").close()
    raise SystemExit("enough")
"""


def test_downloads_are_left_alone_while_uv_builds_from_them(store: LayerStore, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "backend.py").write_text(BACKEND)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "slow"\nversion = "1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    os.mkfifo(project / "started")
    os.mkfifo(project / "go on")
    argv = [find_uv(), "--cache-dir", store.cache, "pip", "install", "--offline", "--target", tmp_path / "t", project]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as building:
        (project / "started").open().close()
        kept = collect(store, limit=0)
        (project / "go on").open("w").close()
    assert building.returncode
    assert (kept.size, store.cache.exists()) == (0, True)

    assert collect(store, limit=0).size > 0
    assert not store.cache.exists()


def test_a_hundred_starts_leave_nothing_behind(store: LayerStore) -> None:
    layer = publish(store, "used")

    for start in range(100):
        (store.root / "tmp" / f"used.{start}").mkdir()  # a build that was killed
        store.sweep()
        hold = Hold()
        hold.take([layer.path])
        store.remember("id-used", Resolved("used", ()))
        collect(store, limit=100 * MB)
        hold.let_go()

    found = sorted(str(path.relative_to(store.root)) for path in store.root.glob("*/*"))
    assert found == ["layers/used", "locks/used", "resolved/id-used.json"]
    assert psutil.Process().num_fds() < 100
