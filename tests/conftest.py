"""What every test shares: one event loop, and a marker for those that start something real."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL = ("integration", "faults", "interop", "conformance", "bench")
HERE = Path(__file__).parent


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder says it once for all of its tests (before ``-m`` is looked at)."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).parts[0] in REAL:
            item.add_marker("integration")
