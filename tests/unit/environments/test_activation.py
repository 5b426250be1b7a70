from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runtimed.environments.activation import activate
from runtimed.errors import InstallError

pytestmark = pytest.mark.anyio


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix with a Python, and no scripts yet."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "etc" / "conda" / "activate.d").mkdir(parents=True)
    return tmp_path


def script(prefix: Path, name: str, text: str) -> None:
    (prefix / "etc" / "conda" / "activate.d" / name).write_text(text)


async def test_without_scripts_it_is_prefix_and_path(prefix: Path) -> None:
    assert await activate(prefix, {"PATH": "/bin"}, {}) == {
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": str(prefix),
        "CONDA_SHLVL": "1",
        "PATH": f"{prefix}/bin:/bin",
    }


async def test_scripts_set_variables_in_their_order(prefix: Path) -> None:
    script(prefix, "a.sh", 'echo loud; export FIRST="$CONDA_PREFIX/share" BOTH=a')
    script(prefix, "b.sh", 'export BOTH="${BOTH}b" PATH="/extra:$PATH"')
    script(prefix, "c.fish", "exit 1")

    found = await activate(prefix, dict(os.environ) | {"PATH": "/usr/bin:/bin"}, {"BOTH": "the file's"})

    assert found["FIRST"] == f"{prefix}/share"
    assert found["BOTH"] == "the file's"
    assert found["PATH"] == f"/extra:{prefix}/bin:/usr/bin:/bin"
    assert "HOME" not in found


async def test_a_script_that_fails_is_an_error_with_what_it_said(prefix: Path) -> None:
    script(prefix, "a.sh", "echo no licence >&2; exit 3")

    with pytest.raises(InstallError, match=r"activation script .* failed: .*no licence"):
        await activate(prefix, dict(os.environ), {})
