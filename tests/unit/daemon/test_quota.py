from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from runtimed.daemon import quota as quotas
from runtimed.daemon.quota import STEP, Quota

GIB = 1 << 30


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> Quota:
    """Half of a disk on which 2 GiB are left, whatever is put out."""
    monkeypatch.setattr(quotas.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * GIB))
    return Quota(Path("/"), 0.5, "interrupted", lambda _: None)


def test_the_disk_is_looked_at_each_time_a_step_is_full(quota: Quota) -> None:
    assert [quota.add("e", STEP // 2) for _ in range(4)] == [False, True, False, True]
    assert not quota.add("other", STEP // 2)
    assert quota.add("e", 5 * STEP)


def test_an_execution_may_take_its_share_of_what_was_free_when_it_began(quota: Quota) -> None:
    quota.add("e", 2 * GIB)  # of 4
    assert quota.look("e") is None

    quota.add("e", GIB)
    said = quota.look("e")

    assert said is not None
    assert "interrupted" in said
    assert "3.00 GiB" in said
    assert "RUNTIMED_OUTPUT_SHARE=0.5" in said


def test_what_has_ended_counts_no_more(quota: Quota) -> None:
    quota.add("e", 3 * GIB)
    quota.forget("e")

    assert quota.look("e") is None
    quota.forget("never heard of")
