from __future__ import annotations

import pytest

from runtimed.environments.consent import Subject, judge, plain_name
from runtimed.environments.trust import Approval
from runtimed.errors import NeedsApproval

APPROVAL = Approval(
    digest="d", place="/n.ipynb", source="uv:inline", packages=("polars",), by="ann", at="2026-01-01T00:00", lock="L"
)


def subject(*foreign: str, by_hand: str | None = None) -> Subject:
    return Subject(
        source="uv:inline",
        place="/n.ipynb",
        digest="d",
        packages=("asked", *foreign),
        foreign=foreign,
        only_by_hand=by_hand,
    )


@pytest.mark.parametrize("policy", ["prompt", "allowlist", "all"])
def test_what_was_named_here_needs_nobody(policy: str) -> None:
    clearance = judge(subject(), policy=policy, allowed=(), approval=None)

    assert clearance.wheels_only is (policy != "all")
    assert judge(None, policy=policy, allowed=(), approval=None).lock is None


def test_what_came_with_a_file_names_packages_and_command() -> None:
    with pytest.raises(NeedsApproval) as caught:
        judge(subject("polars>=1", "duckdb"), policy="allowlist", allowed={"duckdb"}, approval=None)

    assert "polars>=1" in caught.value.message and "duckdb" not in caught.value.message
    assert "runt trust approve '/n.ipynb'" in caught.value.message
    assert "prewarmed" in str(caught.value.hint)


def test_the_allowlist_lets_names_in_and_builds_nothing() -> None:
    assert judge(subject("Polars>=1"), policy="allowlist", allowed={"polars"}, approval=None).wheels_only


def test_prompt_asks_for_allowed_names_too() -> None:
    with pytest.raises(NeedsApproval, match="polars"):
        judge(subject("polars"), policy="prompt", allowed={"polars"}, approval=None)


@pytest.mark.parametrize("entry", ["polars @ https://elsewhere/p.whl", "https://elsewhere/p.whl", "./here", "-e ."])
def test_an_address_is_never_just_a_name(entry: str) -> None:
    assert plain_name(entry) is None
    with pytest.raises(NeedsApproval):
        judge(subject(entry), policy="allowlist", allowed={"polars"}, approval=None)


def test_what_names_cannot_decide_is_for_a_person_even_if_written_here() -> None:
    with pytest.raises(NeedsApproval, match="builds code"):
        judge(subject(by_hand="it builds code"), policy="allowlist", allowed=(), approval=None)


def test_an_approval_brings_the_lock_that_was_approved() -> None:
    clearance = judge(subject("polars", by_hand="x"), policy="prompt", allowed=(), approval=APPROVAL)

    assert clearance.lock == "L" and not clearance.wheels_only
    assert "ann" in clearance.why
