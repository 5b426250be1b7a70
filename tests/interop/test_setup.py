"""Where nteract's release cannot be had, the setup fails and says why; nothing is skipped in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SETUP = Path(__file__).with_name("setup")


def test_a_release_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SETUP, tmp_path / "n", "0.0.0"], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1
    assert "runtimed==0.0.0" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "n/0.0.0/ready").exists()


def test_without_a_folder_it_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, SETUP], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2 and "DIR" in done.stdout
