"""What every test shares: one event loop that nothing may block, and a marker for tests that start something real."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

# Tests start many daemons on few cores: what is not asked to be warm stays cold.
os.environ.setdefault("RUNTIMED_UV_POOL_SIZE", "0")
# Daemons sign what is executed in them: no user's trust is a test's to give.
os.environ["JUPYTER_DATA_DIR"] = f"{tempfile.gettempdir()}/runtimed-jupyter-{os.getuid()}"

# A law holds or does not; how long a busy machine takes to look is no part of it.
settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")

REAL = ("integration", "faults", "interop", "conformance", "bench")
HERE = Path(__file__).parent

pytest.register_assert_rewrite("agents", "interop.scenarios")  # they assert as tests do, and are to show what they saw


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """A blocking call of ours on a running loop fails the test."""
    with blockbuster_ctx("runtimed") as watch:
        # DESIGN §5.2: one write(2) to the change log on the loop is what makes a change acknowledged.
        watch.functions["os.write"].can_block_in("runtimed/atomic.py", "write_all")
        # One look at the path a user named, when a session opens.
        for call in ("os.readlink", "os.stat"):
            watch.functions[call].can_block_in("runtimed/paths.py", "notebook_id_of")
        watch.functions["os.path.abspath"].deactivate()  # it computes; nothing is asked of the disk
        for (
            function
        ) in watch.functions.values():  # another's provisioner has a loop of its own there, to do as it likes
            function.can_block_in("runtimed/kernels/provisioned.py", {"launch", "poll", "signal", "cleanup"})
        yield watch


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder says it once for all of its tests (before ``-m`` is looked at)."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).parts[0] in REAL:
            item.add_marker("integration")
