"""DaemonClient: one question to the daemon at a time, blocking, over its pool channel."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from runtimed import paths
from runtimed.client.asking import TIMEOUT, Reply, ask, hail, not_running, probe
from runtimed.client.discovery import find
from runtimed.errors import DaemonVersionMismatch, NotAvailable
from runtimed.wire import pool

__all__ = ["DaemonClient"]

EXPORT_TIMEOUT = 120.0
TRUST_TIMEOUT = 300.0  # what is approved is resolved first


class DaemonClient:
    """Asks the daemon on a socket, or the one that sessions would go to (see ``discovery``); it never starts one."""

    def __init__(self, socket_path: Path | str | None = None) -> None:
        self.socket_path: Path = Path(socket_path) if socket_path else find()
        self._found = socket_path is None  # nobody named it

    def __repr__(self) -> str:
        return f"DaemonClient({str(self.socket_path)!r})"

    def ping(self) -> bool:
        """Whether a daemon that we understand answers."""
        try:
            return probe(self.socket_path) is not None
        except DaemonVersionMismatch:
            return False

    def is_running(self) -> bool:
        return self.ping()

    def status(self) -> dict[str, Any]:
        """The pools, flat: ``uv_available``, ``uv_warming``, ``conda_available`` and so on."""
        state = msgspec.to_builtins(self._ask(pool.Status(), pool.Stats).state)
        return {f"{kind}_{name}": value for kind, pool_state in state.items() for name, value in pool_state.items()}

    def list_rooms(self) -> list[dict[str, Any]]:
        """The live rooms; a room is shown by its name where that is known."""
        return [_room(msgspec.to_builtins(room)) for room in self._ask(pool.ListRooms(), pool.RoomsList).rooms]

    def flush_pool(self) -> None:
        self._ask(pool.FlushPool(), pool.Flushed)

    def shutdown(self) -> None:
        """Ask the daemon to end; it has when its socket answers no more.

        Raises:
            NotAvailable: it is nteract's, and was found, not named: whoever means that one gives its socket.
        """
        if self._found:
            self._only_ours("end at a word from us", hint=f"DaemonClient({str(self.socket_path)!r}) means this one")
        self._ask(pool.Shutdown(), pool.ShuttingDown)

    def info(self) -> dict[str, Any]:
        """What the daemon says of itself: pid, version, started_at, blob_port and, if it is ours, ``runtimed``."""
        ours = self._pong().runtimed
        about: dict[str, Any] = msgspec.to_builtins(self._ask(pool.GetDaemonInfo(), pool.DaemonInfo))
        about.pop("type")
        return about | {"runtimed": ours, "socket_path": str(self.socket_path)}

    def export_notebook(self, notebook: str) -> str:
        """The notebook as the text of an .ipynb file, outputs included."""
        known = self._additive(notebook, "export notebooks", hint="Session.save(path) has it write the file")
        with TemporaryDirectory(prefix="runtimed-", ignore_cleanup_errors=True) as folder:
            request = pool.ExportNotebook(notebook_id=known, folder=folder)
            answer = self._ask(request, pool.NotebookExport, timeout=EXPORT_TIMEOUT)
            return Path(answer.path).read_text(encoding="utf-8") if answer.path else answer.ipynb

    def story(self, notebook: str) -> list[str]:
        """The last events of a room, oldest first."""
        request = pool.Story(notebook_id=self._additive(notebook, "keep a story of its rooms"))
        return list(self._ask(request, pool.NotebookStory).events)

    def connection_file(self, notebook: str, folder: Path | str) -> Path:
        """A Jupyter connection file for the notebook's kernel, made in ``folder``; it stays until the room is closed.

        Raises:
            NoKernel: the notebook has none.
        """
        notebook_id = self._additive(notebook, "share kernels by connection files")
        request = pool.MakeConnectionFile(notebook_id=notebook_id, folder=str(Path(folder).absolute()))
        return Path(self._ask(request, pool.ConnectionFileMade).path)

    def explain_environment(self, notebook: str, env_source: str = "auto") -> dict[str, Any]:
        """Which environment a launch of this notebook would take now: env_source, why, looked_at, trusted, trust."""
        request = pool.ExplainEnvironment(
            notebook_id=self._additive(notebook, "explain environments"), env_source=env_source
        )
        return _told(self._ask(request, pool.EnvironmentExplained))

    def give_trust(self, target: str, env_source: str = "") -> dict[str, Any]:
        """Approve, as a person, what a launch of this notebook or project would install; it is resolved first."""
        project = Path(target).expanduser()
        named = str(project.resolve()) if project.suffix != ".ipynb" and project.exists() else target
        request = pool.GiveTrust(notebook_id=self._additive(named, "take approvals"), env_source=env_source)
        return _told(self._ask(request, pool.TrustGiven, timeout=TRUST_TIMEOUT))

    def _additive(self, notebook: str, what: str, hint: str | None = None) -> str:
        """Our own requests go to our own daemon only: another would not know them."""
        self._only_ours(what, hint=hint)
        ref = paths.notebook_id_of(notebook, paths.here())
        return str(ref.path) if ref.path else ref.notebook_id or notebook

    def _only_ours(self, what: str, *, hint: str | None) -> None:
        pong = self._pong()
        if pong.runtimed is None:
            raise NotAvailable(
                f"The daemon on {self.socket_path} is not ours (version {pong.daemon_version}) and does not {what}",
                hint=hint,
            )

    def _pong(self) -> pool.Pong:
        if (pong := hail(self.socket_path, timeout=TIMEOUT)) is None:  # one that is busy is not gone
            raise not_running(self.socket_path)
        return pong

    def _ask(self, request: pool.PoolRequest, expected: type[Reply], *, timeout: float = TIMEOUT) -> Reply:
        return ask(self.socket_path, request, expected, timeout=timeout)


def _told(reply: msgspec.Struct) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(reply)
    told.pop("type")
    return told


def _room(room: dict[str, Any]) -> dict[str, Any]:
    shown = {"notebook_id": room.get("name") or room["notebook_id"]}
    for key in ("active_peers", "has_kernel", "kernel_type", "kernel_status", "env_source"):
        if room.get(key) is not None:
            shown[key] = room[key]
    return shown | ({"path": room["notebook_path"]} if room.get("notebook_path") else {})
