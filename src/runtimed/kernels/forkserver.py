"""Fork server: all that a kernel imports is imported once, then each request forks a kernel that has it already.

Runs by its path in a layer's Python, which does not know runtimed: here is the standard library and what lies in the
layer. ``zygote`` speaks with it, one JSON object a packet:

    <- {"ready": [names of modules]} | {"error": text}           when everything is imported
    -> {"fork": connection file} + [output, leash]                <- {"pid": int} + [pidfd]
    -> {"reap": pid}                                              <- {"pid": int, "status": int | null}

A forked kernel makes its sockets and its shell, says ``r`` (ready) on its leash and waits there for what it is to be:
4 bytes of length, then {"cwd", "env", "argv", "prefix", "executable", "site_packages"}. It says ``k`` (known), becomes
that, and goes on. The leash stays: its end is the daemon's, and the kernel's.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import signal
import site
import socket
import sys
import threading
import time
from typing import Any

PACKET = 1 << 16
REQUIRED = ("zmq", "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "IPython.core.completer")
# Nothing that imports numpy, as matplotlib_inline.config does: that starts threads.
OPTIONAL = ("debugpy.server", "ipykernel.debugger", "sqlite3", "pdb")


def main(fd: int) -> None:
    control = socket.socket(fileno=fd)
    born_with = dict(os.environ)
    try:
        _preload()
    except BaseException as exc:
        control.send(json.dumps({"error": f"{type(exc).__name__}: {exc}"}).encode())
        raise
    control.send(json.dumps({"ready": sorted(_foreign_modules())}).encode())
    while request := _receive(control):
        message, fds = request
        if "fork" in message:
            output, leash = fds
            if (pid := os.fork()) == 0:
                control.close()
                return _kernel(message["fork"], output, socket.socket(fileno=leash), born_with)
            for given in fds:
                os.close(given)
            _answer_fork(control, pid)
        else:
            control.send(json.dumps({"pid": message["reap"], "status": _reap(message["reap"])}).encode())


def _preload() -> None:
    """What a kernel that was launched has loaded before its first cell, and not more: a cell must not see it."""
    for name in REQUIRED:
        importlib.import_module(name)
    for name in OPTIONAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"{threads} threads after the imports: it cannot be forked safely")
    gc.collect()
    gc.disable()  # a collection in a child would copy every page that it looks at
    gc.freeze()


def _foreign_modules() -> set[str]:
    """The top-level names that came from the layer: an environment with one of these of its own cannot use us."""
    layer = tuple(site.getsitepackages())
    loaded = list(sys.modules.items())
    return {name.partition(".")[0] for name, module in loaded if str(getattr(module, "__file__", "")).startswith(layer)}


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    fds = array.array("i")
    data, ancillary, _, _ = control.recvmsg(PACKET, socket.CMSG_SPACE(2 * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
    for _, _, raw in ancillary:
        fds.frombytes(raw)
    return (json.loads(data), list(fds)) if data else None


def _answer_fork(control: socket.socket, pid: int) -> None:
    pidfd = os.pidfd_open(pid)  # here, where nobody else can have reaped it
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [pidfd]))
    control.sendmsg([json.dumps({"pid": pid}).encode()], [rights])
    os.close(pidfd)


def _reap(pid: int) -> int | None:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


# ------------------------------------------------------------------ in the child


def _kernel(connection_file: str, output: int, leash: socket.socket, born_with: dict[str, str]) -> None:
    _stand_alone(output)
    app = importlib.import_module("ipykernel.kernelapp").IPKernelApp.instance()
    _stop_before_first_use(app, leash, born_with)
    app.initialize(["-f", connection_file])
    gc.enable()
    app.start()


def _stand_alone(output: int) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, fd)
    for fd in (nothing, output):
        os.close(fd)
    signal.set_wakeup_fd(-1)
    os.environ["JPY_PARENT_PID"] = "1"  # no poller: the leash tells, and tells at once
    if (processes := sys.modules.get("multiprocessing.process")) is not None:
        processes.current_process().authkey = os.urandom(32)  # else all kernels of this server have the same


def _stop_before_first_use(app: Any, leash: socket.socket, born_with: dict[str, str]) -> None:
    """All steps of initialize are taken as ever; between two of them it waits to be told what it is to be.

    Before: sockets, threads, kernel, shell. After: what depends on the room (history, matplotlib's backend, the
    user's extensions and startup files).
    """
    make_kernel, go_on = app.init_kernel, app.init_gui_pylab

    def init_kernel() -> None:
        said = app.config.pop("HistoryManager", None)
        app.config.HistoryManager.enabled = False  # a kernel that nobody takes is no session
        make_kernel()
        del app.config["HistoryManager"]
        if said is not None:
            app.config.HistoryManager = said

    def init_gui_pylab() -> None:
        del app.init_kernel, app.init_gui_pylab
        leash.sendall(b"r")
        if (given := _given(leash)) is None:
            os._exit(0)
        leash.sendall(b"k")
        _become(app, given, born_with)
        threading.Thread(target=_end_with, args=(leash,), name="Leash", daemon=True).start()
        go_on()

    app.init_kernel = init_kernel
    app.init_gui_pylab = init_gui_pylab


def _given(leash: socket.socket) -> dict[str, Any] | None:
    with leash.makefile("rb") as stream:
        size = stream.read(4)
        body = stream.read(int.from_bytes(size, "big"))
    return json.loads(body) if len(size) == 4 else None


def _end_with(leash: socket.socket) -> None:
    while leash.recv(1):
        pass
    os._exit(1)


def _become(app: Any, given: dict[str, Any], born_with: dict[str, str]) -> None:
    os.chdir(given["cwd"])
    _set_environment(given["env"], born_with)
    sys.argv[:] = given["argv"]
    _set_prefix(given["prefix"], given["executable"], given["site_packages"])
    app.init_path()
    shell = app.shell
    if shell is None:
        return
    shell.starting_dir = given["cwd"]
    if shell.history_manager in shell.configurables:
        shell.configurables.remove(shell.history_manager)
    shell.init_history()
    shell.init_user_ns()
    if name := given["env"].get("JPY_SESSION_NAME"):
        shell.user_ns["__session__"] = name


def _set_environment(wanted: dict[str, str], born_with: dict[str, str]) -> None:
    """What was set since we were launched was set by what a kernel does as it starts: that stays."""
    made = {name: value for name, value in os.environ.items() if born_with.get(name) != value}
    made.pop("JPY_PARENT_PID", None)
    os.environ.clear()
    os.environ.update(wanted | made)
    time.tzset()


def _set_prefix(prefix: str, executable: str, site_packages: str) -> None:
    """As if this process had been started by the Python of the environment that stands before the layer."""
    while "" in sys.path:
        sys.path.remove("")
    layer = site.getsitepackages()[0]
    sys.path.insert(sys.path.index(layer), site_packages)
    sys.prefix = sys.exec_prefix = prefix
    sys.executable = executable
    sys.orig_argv[:] = [executable, "-m", "ipykernel_launcher", *sys.argv[1:]]
    site.PREFIXES[:] = [prefix]
    if (config := sys.modules.get("sysconfig")) is not None:
        vars(config).update(_PREFIX=prefix, _EXEC_PREFIX=prefix, _CONFIG_VARS=None, _CONFIG_VARS_INITIALIZED=False)
    if (spawn := sys.modules.get("multiprocessing.spawn")) is not None:
        spawn.set_executable(executable)


if __name__ == "__main__":
    del sys.path[0]  # our own folder: nothing in it is a module of the kernel's
    main(int(sys.argv[1]))
