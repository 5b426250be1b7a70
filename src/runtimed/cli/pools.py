"""Pools: what a daemon holds ready of one kind, in a line, and what keeps it from more, in another."""

from __future__ import annotations

from typing import Any

__all__ = ["lines_of"]


def lines_of(pools: dict[str, Any], kind: str) -> list[str]:
    """``pools`` is DaemonClient.status(); none where there is nothing to say."""
    pool = {key.removeprefix(f"{kind}_"): value for key, value in pools.items() if key.startswith(f"{kind}_")}
    held = [pool.get(count) or 0 for count in ("available", "warming", "pool_size")]
    if not any(held) and not pool.get("error"):
        return ["none held ready; made when a kernel first needs one, and kept"] * (kind == "uv")
    return [_held(*held), *_failing(pool)]


def _held(available: int, warming: int, size: int) -> str:
    if not available and not warming:
        return "none held ready until a first kernel was started" if size else "none held ready"
    return f"{available} ready, {warming} warming"


def _failing(pool: dict[str, Any]) -> list[str]:
    if not (error := pool.get("error")):
        return []
    about = [pool[key] for key in ("failed_package", "error_kind") if pool.get(key)]
    said = error.strip().splitlines()[0]
    lines = [f"failing: {', '.join(about)}: {said}" if about else f"failing: {said}"]
    if pool.get("consecutive_failures"):
        times = (
            f"failed {pool['consecutive_failures']} times in a row" if pool["consecutive_failures"] > 1 else "failed"
        )
        lines.append(f"{times}; next try in {pool.get('retry_in_secs', 0)} s, or now with: runt daemon flush")
    return lines
