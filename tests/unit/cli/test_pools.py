from __future__ import annotations

from typing import Any

from runtimed.cli.pools import lines_of


def pool(**said: Any) -> dict[str, Any]:
    return {f"uv_{key}": value for key, value in ({"available": 0, "warming": 0, "pool_size": 2} | said).items()}


def test_what_is_ready_and_what_will_be() -> None:
    assert lines_of(pool(available=1, warming=1), "uv") == ["1 ready, 1 warming"]


def test_a_pool_waits_for_somebody_to_ask() -> None:
    assert lines_of(pool(), "uv") == ["none held ready until a first kernel was started"]
    assert lines_of(pool(pool_size=0), "uv") == ["none held ready; made when a kernel first needs one, and kept"]
    assert lines_of(pool(), "conda") == []


def test_a_failure_is_told_with_its_package_its_kind_and_the_next_try() -> None:
    failing = pool(
        available=2,
        error="the packages cannot be resolved: Because numppy was not found\nand more (hint)",
        failed_package="numppy",
        error_kind="invalid_package",
        consecutive_failures=3,
        retry_in_secs=41,
    )

    assert lines_of(failing, "uv") == [
        "2 ready, 0 warming",
        "failing: numppy, invalid_package: the packages cannot be resolved: Because numppy was not found",
        "failed 3 times in a row; next try in 41 s, or now with: runt daemon flush",
    ]
