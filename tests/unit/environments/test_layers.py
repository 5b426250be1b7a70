from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runtimed.environments.layers import Layer, LayerStore, Resolved, remove_tree
from runtimed.errors import InstallError

PYTHON = Path(sys.executable)


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    store = LayerStore(tmp_path / "store")
    store.make_folders()
    return store


def build(store: LayerStore, key: str) -> Path:
    built = store.workplace(key)
    (built / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (built / "lib" / "python3.11" / "site-packages" / "module.py").write_text("")
    return built


def publish(store: LayerStore, key: str) -> Layer:
    return store.publish(key, build(store, key))


def test_a_layer_is_there_as_a_whole_or_not_at_all(store: LayerStore) -> None:
    built = build(store, "key")
    assert not store.layer("key").is_ready

    layer = store.publish("key", built)

    assert layer.is_ready and layer == store.layer("key")
    assert not built.exists()
    assert (layer.site_packages() / "module.py").exists()


def test_nobody_may_write_to_a_published_layer(store: LayerStore) -> None:
    layer = publish(store, "key")

    modes = [path.stat().st_mode & 0o222 for path in [layer.path / "lib", *(layer.path / "lib").rglob("*")]]

    assert len(modes) == 4 and not any(modes)


def test_a_key_belongs_to_one_lock_and_one_interpreter(store: LayerStore, tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_bytes(b"another interpreter")

    keys = {store.key("lock", PYTHON), store.key("other lock", PYTHON), store.key("lock", other)}
    os.utime(other, ns=(1, 1))
    keys.add(store.key("lock", other))

    assert len(keys) == 4
    assert store.key("lock", PYTHON) in keys


def test_an_interpreter_that_is_not_there_is_a_typed_error(store: LayerStore, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="there is no Python"):
        store.key("lock", tmp_path / "none")


def test_a_list_of_packages_is_recalled_as_long_as_its_layer_is_there(store: LayerStore) -> None:
    identity = store.identify(["numpy", "pandas"], PYTHON, "indexes")
    store.remember(identity, Resolved("key", ("numpy==1",)))
    assert store.recall(identity) is None

    layer = publish(store, "key")
    assert store.recall(identity) == (Resolved("key", ("numpy==1",)), layer)
    store.quarantine(layer)

    assert store.recall(identity) is None


def test_the_order_of_a_list_does_not_matter_but_its_indexes_do(store: LayerStore) -> None:
    one = store.identify(["a", "b"], PYTHON, "here")

    assert one == store.identify(["b", "a", "a"], PYTHON, "here")
    assert one != store.identify(["a", "b"], PYTHON, "there")
    assert one != store.identify(["a"], PYTHON, "here")


def test_a_damaged_record_counts_as_none(store: LayerStore) -> None:
    publish(store, "key")
    store.remember("identity", Resolved("key", ()))
    (store.root / "resolved" / "identity.json").write_text("{")

    assert store.recall("identity") is None


def test_flush_makes_stale_what_is_known_and_keeps_the_layers(store: LayerStore) -> None:
    layer = publish(store, "key")
    store.remember("identity", Resolved("key", ("numpy==1",)))
    (store.root / "resolved" / "damaged.json").write_text("{")

    store.flush()

    assert store.recall("identity") == (Resolved("key", ("numpy==1",), stale=True), layer)


def test_one_builder_at_a_time_holds_a_key(store: LayerStore) -> None:
    with store.try_lock("key") as first, store.try_lock("key") as second, store.try_lock("other") as third:
        assert (first, second, third) == (True, False, True)

    with store.try_lock("key") as free:
        assert free


def test_a_new_workplace_is_another_one_and_clears_what_a_killed_builder_left(store: LayerStore) -> None:
    killed = build(store, "key")
    others = build(store, "keys")

    again = store.workplace("key")

    assert again != killed and not killed.exists() and others.exists()


def test_the_sweep_leaves_what_is_being_built(store: LayerStore) -> None:
    store.quarantine(publish(store, "bad"))
    alive, dead = build(store, "alive"), build(store, "dead")

    with store.try_lock("alive"):
        swept = store.sweep()

    assert swept == 2
    assert alive.exists() and not dead.exists()
    assert list((store.root / "layers").iterdir()) == []


def test_what_is_read_only_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("")
    for path in (tmp_path / "a" / "b", tmp_path / "a"):
        path.chmod(0o500)

    remove_tree(tmp_path / "a")
    remove_tree(tmp_path / "a")

    assert not (tmp_path / "a").exists()
