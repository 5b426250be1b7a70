"""A warm cache is enough: what was installed once is installed again when no index answers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ordering import an_order
from running import say
from runtimed.docs.declared import Declared, Inline
from runtimed.environments.environment import Environment
from runtimed.environments.prepare import prepare
from runtimed.errors import InstallError
from wheels import write_wheel

pytestmark = pytest.mark.timeout(120)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A package index on the loopback; whatever is in the user's own configuration is not asked."""
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    modules = {"pyzmq": "zmq", "ipython": "IPython", "pip": "pip", "tiny": "tiny", "other": "other"}
    for name, module in modules.items():
        add(tmp_path, name, {f"{module}/__init__.py": ""})
    add(tmp_path, "ipykernel", {"ipykernel/__init__.py": "", "ipykernel/kernelapp.py": ""}, ("pyzmq", "ipython"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def add(folder: Path, name: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> None:
    place = folder / "simple" / name
    place.mkdir(parents=True)
    write_wheel(place, name, "1.0", files, requires)


def build(tmp_path: Path, *packages: str) -> Environment:
    declared = Declared(uv=Inline(dependencies=packages))
    return asyncio.run(prepare(an_order(tmp_path / "store", tmp_path / "room", "uv:inline", declared=declared)))


def test_a_new_set_of_known_packages_needs_no_index(index: ThreadingHTTPServer, tmp_path: Path) -> None:
    build(tmp_path, "tiny")
    build(tmp_path, "other")
    index.shutdown()
    index.server_close()

    environment = build(tmp_path, "tiny", "other")

    assert asyncio.run(say(environment, "import tiny, other; print('both')")) == "both"


def test_what_is_not_in_the_cache_says_that_the_index_does_not_answer(
    index: ThreadingHTTPServer, tmp_path: Path
) -> None:
    build(tmp_path, "tiny")
    index.shutdown()
    index.server_close()

    with pytest.raises(InstallError, match="the package index cannot be reached"):
        build(tmp_path, "other")
