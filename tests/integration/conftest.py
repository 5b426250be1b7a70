from __future__ import annotations

from collections.abc import Iterator

import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from condachannel import channel
from serving import daemon, shared_daemon

__all__ = ["channel", "daemon", "shared_daemon"]


@pytest.fixture(autouse=True)
def factory() -> Iterator[None]:
    """jupyter_client reads entry points and its environment once a process: a test must not inherit another's."""
    KernelProvisionerFactory.clear_instance()
    yield
    KernelProvisionerFactory.clear_instance()
