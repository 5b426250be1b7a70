"""What runtimed.jupyter promises is there, no more and no less, and loads only when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import runtimed.jupyter

PROMISED = {
    "AsyncRuntimedKernelClient",
    "AsyncRuntimedKernelManager",
    "RuntimedKernelClient",
    "RuntimedKernelManager",
    "RuntimedMultiKernelManager",
    "RuntimedProvisioner",
}


def test_the_promised_names_are_the_public_ones():
    assert set(runtimed.jupyter.__all__) == PROMISED
    assert {getattr(runtimed.jupyter, name).__name__ for name in PROMISED} == PROMISED


def test_the_package_alone_loads_no_jupyter_client():
    code = "import sys, runtimed.jupyter; assert 'jupyter_client' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_jupyter_and_papermill_find_us_by_our_entry_points():
    provisioners = entry_points(group="jupyter_client.kernel_provisioners")
    assert provisioners["runtimed-provisioner"].load() is runtimed.jupyter.RuntimedProvisioner
    assert "runtimed" in entry_points(group="papermill.engine").names
