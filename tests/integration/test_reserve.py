from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from listening import Listener
from reserves import Stock, stock
from runtimed.errors import KernelStartError
from runtimed.kernels.orphans import LAUNCH_RECORD
from runtimed.room.events import ExecutionStarted
from unit.environments.conftest import write_wheel

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone"),
]

TWIN = (Path(__file__).parent / "twin.py").read_text()
PARENT = "import os; print(os.getppid(), end='')"


@pytest.fixture
async def held(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with stock(tmp_path) as made:
        yield made


async def was_forked(listener: Listener) -> bool:
    return await listener.run(PARENT) != ("ok", str(os.getpid()))


async def seen_by(listener: Listener, room: str) -> dict[str, object]:
    status, text = await listener.run(TWIN)
    assert status == "ok", text
    seen: dict[str, object] = json.loads(text.replace(f"/{room}/", "/ROOM/"))
    return seen


async def test_a_kernel_that_waited_and_a_forked_one_are_as_one_that_was_launched(held: Stock) -> None:
    async with held.room("launched") as launched:
        wanted = await seen_by(launched, "launched")
    await held.open(kernels=1)
    for room in ("waited", "forked"):
        waiting = held.reserve.waiting(held.layer.path)
        async with held.room(room) as listener:
            assert held.reserve.waiting(held.layer.path) == max(waiting - 1, 0)
            seen = await seen_by(listener, room)
            assert await was_forked(listener)

            for part in wanted:
                assert seen[part] == wanted[part], f"{room}: {part}"


async def test_history_begins_with_the_first_cell_of_the_room(held: Stock) -> None:
    await held.open(kernels=2)
    async with held.room("a") as one, held.room("b") as other:
        assert await one.run("first = 1") == ("ok", "")
        assert await other.run("print(1)") == ("ok", "1\n")
        assert (1, "first = 1") in [entry[1:] for entry in await one.kernel.history(None, 10, unique=False)]
        assert await one.run("%history") == ("ok", "first = 1\n%history\n")
        assert [report.execution_count for report in one.reports if isinstance(report, ExecutionStarted)] == [1, 2]
        assert (await one.run("%who"))[1].split() == ["first"]


async def test_the_users_own_startup_file_and_profile_run_in_the_room(held: Stock) -> None:
    startup = held.folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "10-mine.py").write_text("import os; WHERE, NOTEBOOK = os.getcwd(), os.environ['NOTEBOOK']\n")
    (startup.parent / "ipython_config.py").write_text("c.InteractiveShellApp.exec_lines = ['LINE = 1']\n")
    await held.open(kernels=1)

    async with held.room("a", NOTEBOOK="the one") as listener:
        assert await was_forked(listener)
        expected = f"{held.folder / 'a' / 'work'} the one 1\n"
        assert await listener.run("print(WHERE, NOTEBOOK, LINE)") == ("ok", expected)


async def test_a_startup_file_that_ends_the_kernel_is_told_of_at_once_and_spoils_no_other(held: Stock) -> None:
    startup = held.folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    ends = (
        "import os, sys; os.environ.get('END') and (print('last words', file=sys.__stderr__, flush=True), os._exit(7))"
    )
    (startup / "10-mine.py").write_text(ends)
    await held.open(kernels=2)
    began = asyncio.get_running_loop().time()

    with pytest.raises(KernelStartError, match=r"(?s)exit code 7.*last words"):
        async with held.room("a", END="1"):
            pass

    assert asyncio.get_running_loop().time() - began < 10
    assert held.reserve.waiting(held.layer.path) == 1
    async with held.room("b") as listener:
        assert await was_forked(listener)


async def test_it_does_what_kernels_do(held: Stock) -> None:
    await held.open(kernels=1)
    async with held.room("a") as listener:
        assert await was_forked(listener)
        status, text = await listener.run("input('name? ')")
        assert (status, "StdinNotImplementedError" in text) == ("error", True)
        works = {
            "!echo out": "out\n",
            "%timeit -n1 -r1 pass": "per loop",
            "def f():\n    return 7\nimport inspect; print(inspect.getsource(f))": "return 7",
            "import subprocess; print(subprocess.run(['echo', 'sub'], capture_output=True, text=True).stdout)": "sub",
            "import asyncio; print(await asyncio.sleep(0, 'awaited'))": "awaited",
            "from concurrent.futures import ThreadPoolExecutor as T; print(list(T(2).map(abs, [-1])))": "[1]",
            "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: print(p.map(abs, [-5]))": "[5]",
            "with m.get_context('spawn').Pool(1) as p: print(p.map(abs, [-6]))": "[6]",
            "with m.get_context('spawn').Pool(1) as p: print(p.apply(eval, ('__import__(\"sys\").prefix',)))": "a/env",
            "import sys; print(subprocess.getoutput(sys.executable + ' -c \"import zmq, sys; print(sys.prefix)\"'))": (
                "a/env"
            ),
        }
        for code, expected in works.items():
            status, text = await listener.run(code)
            assert status == "ok", f"{code}: {text}"
            assert expected in text, code


async def test_interrupts_reach_the_cell_and_what_it_started(held: Stock) -> None:
    await held.open(kernels=1)
    async with held.room("a") as listener:
        for code in ("import time; print('go', flush=True); time.sleep(60)", "!echo go; sleep 60"):
            cell = listener.begin(code)
            await listener.said(cell, "go")
            await listener.kernel.interrupt()
            assert (await listener.finished(cell)).status in ("error", "ok")  # a ! line prints ^C and is done
        assert await listener.run("1 + 1") == ("ok", "2")


async def test_siblings_share_no_random_numbers_no_keys_and_no_names(held: Stock) -> None:
    await held.open(kernels=2)
    code = (
        "import random, uuid, tempfile, os, multiprocessing as m; print([random.random(), str(uuid.uuid4()), "
        "next(tempfile._get_candidate_names()), m.current_process().authkey.hex(), os.environ['RUNTIMED_KERNEL'], "
        "get_ipython().kernel.session.session, get_ipython().kernel.session.key.hex()])"
    )
    async with held.room("a") as one, held.room("b") as other, held.room("c") as third:
        said = [(await listener.run(code))[1] for listener in (one, other, third)]

    values = [item for text in said for item in text.strip("[]\n").split(", ")]
    assert len(set(values)) == len(values) == 21


async def test_what_is_installed_goes_to_the_notebooks_own_environment(held: Stock) -> None:
    await held.open(kernels=1)
    async with held.room("a") as listener:
        assert await was_forked(listener)
        for command in ("%pip --version", "!pip --version", "!python -m pip --version"):
            status, text = await listener.run(command)
            assert (status, str(held.layer.path) in text) == ("ok", True), text
        packages = await asyncio.to_thread(held.packages, "a")
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        assert await listener.run(f'!python -c "{where}"') == ("ok", f"{packages}\n")
        wheel = write_wheel(held.folder, "tiny", "1.0", {"tiny.py": "VERSION = '1.0'\n"})
        for command in ("%pip", "!pip", "!python -m pip"):
            status, text = await listener.run(f"{command} install --no-index --no-deps --force-reinstall {wheel}")
            assert "Successfully installed tiny-1.0" in text, text
            assert (await listener.run("import tiny; print(tiny.__file__)"))[1] == f"{packages / 'tiny.py'}\n"
            await listener.run(f"{command} uninstall -y tiny")
            assert not (packages / "tiny.py").exists()


async def test_an_environment_that_overrides_a_kernels_module_gets_a_process_of_its_own(held: Stock) -> None:
    await held.open(kernels=1)
    packages = await asyncio.to_thread(held.packages, "a")
    (packages / "comm").mkdir()
    (packages / "comm" / "__init__.py").write_text(
        "from importlib.machinery import PathFinder as F\nimport sys\n"
        f"real = F.find_spec('comm', [{str(await asyncio.to_thread(held.layer.site_packages))!r}])\n"
        "OVERRIDDEN = True\n__path__ = real.submodule_search_locations\nexec(real.loader.get_code('comm'))\n"
    )

    async with held.room("a") as listener:
        assert not await was_forked(listener)
        assert await listener.run("import comm; print(comm.OVERRIDDEN)") == ("ok", "True\n")
    assert held.reserve.waiting(held.layer.path) == 1


async def test_what_python_reads_at_its_start_is_not_told_afterwards(held: Stock) -> None:
    await held.open(kernels=1)

    async with held.room("a", PYTHONHASHSEED="7") as listener:
        assert not await was_forked(listener)
        assert await listener.run("import sys; print(sys.flags.hash_randomization)") == ("ok", "1\n")
    async with held.room("b", OWN_VARIABLE="7") as listener:
        assert await was_forked(listener)
        assert await listener.run("import os; print(os.environ['OWN_VARIABLE'])") == ("ok", "7\n")


async def test_a_package_of_the_notebooks_own_is_found_by_a_forked_kernel(held: Stock) -> None:
    await held.open()
    packages = await asyncio.to_thread(held.packages, "a")
    (packages / "mine.py").write_text("HERE = __file__\n")

    async with held.room("a") as listener:
        assert await was_forked(listener)
        assert await listener.run("import mine; print(mine.HERE)") == ("ok", f"{packages / 'mine.py'}\n")


async def test_all_ends_and_nothing_is_left(held: Stock) -> None:
    await held.open(kernels=2)
    async with held.room("a") as listener:
        pid = listener.kernel.pid
        assert len(list((held.folder / "reserve").glob(f"*/{LAUNCH_RECORD}"))) == 3
        await listener.kernel.shutdown()
        assert not psutil.pid_exists(pid)

    await held.reserve.close_all()

    assert list((held.folder / "reserve").iterdir()) == []
    assert psutil.Process().children(recursive=True) == []


async def test_eight_rooms_at_once_get_a_kernel_each(held: Stock) -> None:
    await held.open(kernels=2)

    async def one(room: str) -> str:
        async with held.room(room) as listener:
            assert await was_forked(listener)
            return (await listener.run("import os; print(os.getpid(), os.getcwd())"))[1]

    said = await asyncio.gather(*[one(f"room{number}") for number in range(8)])

    assert len({line.split()[0] for line in said}) == 8
    assert [line.split()[1] for line in said] == [str(held.folder / f"room{n}" / "work") for n in range(8)]


async def test_a_cell_that_runs_is_interrupted_by_shutdown_as_ever(held: Stock) -> None:
    await held.open()
    async with held.room("a") as listener:
        cell = listener.begin("while True: pass")
        await listener.until(lambda: ExecutionStarted(cell, 1) in listener.reports or None)
        await listener.kernel.shutdown()
    assert held.reserve.is_open(held.layer.path)
