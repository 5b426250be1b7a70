from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from runtimed.daemon.lines import Line
from runtimed.daemon.pools import PoolDocument
from runtimed.environments.defaults import Shortfall
from runtimed.environments.layers import Layer
from runtimed.errors import KernelStartError
from runtimed.wire.pool import PoolState

pytestmark = pytest.mark.anyio

LAYER, OTHER = Layer("a", Path("/layers/a")), Layer("b", Path("/layers/b"))
BROKEN = KernelStartError("A kernel's modules cannot be imported: ImportError: zmq", imports_fail=True)


def never() -> None:
    raise AssertionError("nothing was due")


def short(next_try: float) -> Shortfall:
    return Shortfall(
        kind="invalid_package", message="numppy?", package="numppy", without=("numppy",), count=2, next_try=next_try
    )


async def test_nothing_warms_before_somebody_asked() -> None:
    line = Line(2)
    assert line.state(0, 0.0) == PoolState(available=0, warming=0, pool_size=2)

    line.use(LAYER, {}, None, never)

    assert line.state(1, 0.0) == PoolState(available=1, warming=1, pool_size=2)


async def test_a_failure_is_told_and_waited_out(anyio_backend: str) -> None:
    line, due = Line(2), asyncio.Event()
    line.use(LAYER, {}, None, never)
    now = asyncio.get_running_loop().time()

    line.failed(BROKEN, due.set)

    assert not line.may_try(now + 29)
    assert line.may_try(now + 31)
    assert line.state(0, now) == PoolState(
        available=0, warming=0, pool_size=2, consecutive_failures=1, retry_in_secs=30,
        error=str(BROKEN), error_kind="import_error",
    )  # fmt: skip
    line.succeeded()
    assert line.may_try(now)
    line.forget_timer()


async def test_another_layer_is_not_to_blame_for_the_last_one() -> None:
    line = Line(1)
    line.use(LAYER, {}, None, never)
    line.failed(BROKEN, never)

    line.use(OTHER, {}, None, never)

    assert line.may_try(0.0)
    assert line.state(0, 0.0).error is None
    line.forget_timer()


async def test_what_is_left_out_is_named_beside_the_kernels_that_wait() -> None:
    line = Line(2)
    line.use(LAYER, {}, short(time.time() + 60), never)

    state = line.state(2, 0.0)

    assert (state.available, state.failed_package, state.error_kind) == (2, "numppy", "invalid_package")
    assert (state.consecutive_failures, state.retry_in_secs) == (2, 60)
    line.forget_timer()


async def test_when_its_time_has_come_it_is_looked_for_again() -> None:
    line, due = Line(2), asyncio.Event()

    line.use(LAYER, {}, short(time.time() - 1), due.set)
    async with asyncio.timeout(5):
        await due.wait()

    assert line.is_stale
    line.use(LAYER, {}, None, never)
    assert not line.is_stale


async def test_flush_looks_again_for_what_was_in_use_and_for_nothing_else() -> None:
    used, unused = Line(2), Line(2)
    used.use(LAYER, {}, short(time.time() + 60), never)

    used.flush()
    unused.flush()

    assert (used.is_stale, used.layer, used.generation) == (True, None, 1)
    assert not unused.is_stale


async def test_the_document_says_what_the_status_says_and_only_what_is_new() -> None:
    pools = PoolDocument()
    ready = PoolState(available=2, warming=0, pool_size=2)
    failing = PoolState(available=0, warming=0, pool_size=2, error="no", error_kind="network")

    assert pools.update({"uv": failing}) and not pools.update({"uv": failing})
    assert pools.document.value()["uv"]["error_kind"] == "network"
    assert pools.update({"uv": ready})

    said = pools.document.value()["uv"]
    assert "error" not in said and "error_kind" not in said
    assert (said["available"], said["pool_size"]) == (2, 2)
    assert pools.document.value()["conda"]["pool_size"] == 0
