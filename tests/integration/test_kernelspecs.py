"""Any installed kernelspec gives a kernel, through whatever provisioner it names."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elsewhere import install, kernelspec
from listening import Listener, running
from runtimed.errors import InvalidRequest, KernelStartError, ToolMissing
from runtimed.kernels.installed import installed_spec

pytestmark = pytest.mark.anyio


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with another's provisioner in it, found as an installed one is."""
    for name, value in install(tmp_path / "far").items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path / "far" / "site")
    yield tmp_path / "far"


@pytest.fixture
async def listener(far: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    spec = await asyncio.to_thread(installed_spec, "far", tmp_path, {"IPYTHONDIR": str(tmp_path / "ipython")})
    async with running(tmp_path / "run", spec) as made:
        yield made


async def test_another_provisioner_runs_the_kernel(listener: Listener, far: Path) -> None:
    assert await listener.run("import os; print(os.environ['FAR_SITE'], end='')") == ("ok", "moon")
    assert await listener.run("print(os.environ['FAR_KEY'], end='')") == ("ok", f"{os.environ['HOME']}/key")
    assert listener.kernel.pid is None

    await listener.kernel.shutdown()

    assert (far / "far.log").read_text() == "cleaned up\n"
    assert list(listener.deaths) == []


async def test_its_kernel_is_interrupted_by_its_provisioner(listener: Listener) -> None:
    execution_id = listener.begin("print('in', flush=True)\nimport time; time.sleep(60)")
    await listener.said(execution_id, "in")

    await listener.kernel.interrupt()

    assert (await listener.finished(execution_id)).status == "error"
    assert await listener.run("1 + 1") == ("ok", "2")


async def test_the_death_of_its_kernel_is_noticed(listener: Listener, far: Path) -> None:
    listener.begin("import os; os._exit(7)")

    assert (await listener.death()).reason == "exit code 7"
    assert (far / "far.log").read_text() == "cleaned up\n"


async def test_a_provisioner_that_refuses_says_why(far: Path, tmp_path: Path) -> None:
    spec = await asyncio.to_thread(installed_spec, "full", tmp_path)

    with pytest.raises(KernelStartError, match="no node is free"):
        async with running(tmp_path / "run", spec):
            pass
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_local_kernelspec_gets_its_own_env_folder_and_interrupts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = (
        "python",
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--InteractiveShell.banner1={resource_dir}",
    )
    env = {"MINE": "${USERLIKE}-x"}
    kernelspec(tmp_path / "jupyter", "Mine", *argv, env=env, interrupt_mode="message")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("USERLIKE", "ann")
    spec = await asyncio.to_thread(installed_spec, "mine", tmp_path, {"IPYTHONDIR": str(tmp_path / "ipython")})

    async with running(tmp_path / "run", spec) as listener:
        assert await listener.run("import os; print(os.environ['MINE'], os.getcwd(), end='')") == (
            "ok",
            f"ann-x {tmp_path}",
        )
        resource_dir = str(tmp_path / "jupyter" / "kernels" / "mine")
        assert (await listener.run("get_ipython().banner1"))[1].lower() == repr(resource_dir)
        execution_id = listener.begin("print('in', flush=True)\nimport time; time.sleep(60)")
        await listener.said(execution_id, "in")
        await listener.kernel.interrupt()
        assert (await listener.finished(execution_id)).status == "error"
        assert isinstance(listener.kernel.pid, int)
    assert sys.executable  # `python` in a kernelspec is the interpreter that runs jupyter_client


def test_an_unknown_name_lists_the_installed_ones(far: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no kernelspec 'nope'.*installed: .*far.*full"):
        installed_spec("nope", tmp_path)


def test_a_deno_that_its_own_installer_put_there_is_known_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernelspec(tmp_path, "deno", "/somewhere/deno", "jupyter", "--kernel", "--conn", "{connection_file}")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))

    spec = installed_spec("deno", tmp_path)

    assert (spec.interrupt_mode, spec.late_outputs, spec.wedges) == ("message", True, True)


def test_a_kernelspec_whose_provisioner_is_not_installed_says_so(far: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="'missing' names a provisioner that is not installed"):
        installed_spec("missing", tmp_path)


def test_a_kernel_json_that_is_none_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernelspec(tmp_path, "broken")
    (tmp_path / "kernels" / "broken" / "kernel.json").write_text("{")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))

    with pytest.raises(KernelStartError, match="'broken' cannot be used"):
        installed_spec("broken", tmp_path)
