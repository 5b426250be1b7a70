"""Run in a cell: all that a kernel can see of itself, as JSON. What differs by room or by the run is left out."""


def _see():  # type: ignore[no-untyped-def]
    import asyncio
    import atexit
    import builtins
    import faulthandler
    import gc
    import json
    import locale
    import logging
    import multiprocessing
    import multiprocessing.spawn
    import os
    import resource
    import signal
    import site
    import sys
    import sysconfig
    import tempfile
    import threading
    import time
    import warnings

    shell = get_ipython()  # type: ignore[name-defined]  # noqa: F821
    app = shell.kernel.parent

    def named(thing: object) -> str:
        return str(thing).split(" at 0x")[0]

    numbers = [int(number) for number in os.listdir("/proc/self/fd")]
    inherited = [
        number for number in numbers if os.path.exists(f"/proc/self/fd/{number}") and os.get_inheritable(number)
    ]
    seen = {
        "sys": [
            sys.path, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, sys.executable,
            sys.argv[:2], sys.orig_argv[:4], str(sys.flags), sys._xoptions, sys.getrecursionlimit(),
            [type(finder).__name__ for finder in sys.meta_path], sys.getfilesystemencoding(), sys.getswitchinterval(),
            named(sys.excepthook), named(sys.displayhook), named(sys.breakpointhook), named(sys.stdin),
        ],
        "site": [site.getsitepackages(), site.ENABLE_USER_SITE, site.PREFIXES],
        "sysconfig": [sysconfig.get_paths(), [sysconfig.get_config_var(v) for v in ("prefix", "exec_prefix", "base")]],
        "environ": {k: v for k, v in os.environ.items() if k != "RUNTIMED_KERNEL"},
        "process": [
            os.getcwd(), os.getsid(0) == os.getpid() == os.getpgid(0), os.nice(0), len(os.sched_getaffinity(0)),
            [resource.getrlimit(number) for number in range(10)], os.isatty(0), os.umask(0o22),
            sum(1 for _ in os.scandir("/proc/self/task")), inherited,
        ],
        "signals": {number.name: named(signal.getsignal(number)) for number in signal.Signals},
        "shell": [
            sorted(shell.user_ns), sorted(map(str, shell.user_ns_hidden)), shell.execution_count,
            str(shell.starting_dir),
            sorted(type(part).__name__ for part in shell.configurables), [str(d) for d in shell.user_ns["_dh"]],
            len(shell.user_ns["In"]), len(shell.user_ns["Out"]), shell.history_manager.enabled,
            shell.history_manager.using_thread, sorted(shell.magics_manager.magics["line"]),
            __name__, sys.modules["__main__"].__dict__ is shell.user_ns,
            getattr(sys.modules["__main__"], "__file__", ""),
        ],
        "app": [type(app).__name__, sorted(app.config), dict(app.config.get("HistoryManager", {})), app.profile],
        "threads": [threading.active_count(), threading.current_thread() is threading.main_thread()],
        "gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
        "asyncio": [named(asyncio.get_event_loop_policy()), type(asyncio.get_running_loop()).__name__],
        "text": [locale.getlocale(), sys.stdout.encoding, time.tzname, tempfile.gettempdir()],
        "multiprocessing": [
            os.fsdecode(multiprocessing.spawn.get_executable()), multiprocessing.get_start_method(),
            multiprocessing.current_process().name,
        ],
        "modules": sorted(name for name in sys.modules if not name.startswith(("_", "encodings."))),
        "logging": [len(logging.root.handlers), logging.root.level, sorted(logging.Logger.manager.loggerDict)],
        "warnings": list(map(str, warnings.filters)),
        "builtins": sorted(dir(builtins)),
        "faulthandler": faulthandler.is_enabled(),
        "atexit": atexit._ncallbacks(),
    }  # fmt: skip
    sys.stdout.write(json.dumps(seen, default=str))


_see()  # type: ignore[no-untyped-call]
del _see
