"""deno: a Deno on this machine becomes a kernel that speaks TypeScript; it installs nothing by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from runtimed.environments.environment import Environment
from runtimed.environments.layers import LayerStore
from runtimed.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runtimed.environments.environment import Order

__all__ = ["build_deno", "find_deno"]


async def build_deno(order: Order) -> Environment:
    """``deno jupyter`` finds deno.json by itself: it runs in the notebook's folder."""
    binary = await asyncio.to_thread(find_deno)
    store = LayerStore(order.store)
    await asyncio.to_thread(store.make_folders)
    cache = store.deno_cache
    return Environment(
        argv=(binary, "jupyter", "--kernel", "--conn", "{connection_file}"),
        env=_variables(os.environ, cache),
        caches=(cache,),
        source=order.decision.source,
        language="typescript",
        kernel_name="deno",
        display_name="Deno",
        interrupt_mode="message",  # SIGINT ends it
        transport="tcp",  # it refuses ipc
        late_outputs=True,
        wedges=True,  # an await that is interrupted never ends, and nothing runs after it
    )


def find_deno() -> str:
    """The one that came with the extra ``deno``, else the one on PATH."""
    with contextlib.suppress(ImportError, FileNotFoundError):
        from deno import find_deno_bin  # type: ignore[import-untyped]  # only where it is asked for

        return os.fsdecode(find_deno_bin())
    if found := shutil.which("deno"):
        return found
    raise ToolMissing("Deno was not found; it runs TypeScript and JavaScript notebooks", hint='pip install "deno>=2"')


def _variables(environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    # Its text outputs are coloured without NO_COLOR, and one cache of modules serves all notebooks.
    return {"NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": environ.get("DENO_DIR") or str(cache)}
