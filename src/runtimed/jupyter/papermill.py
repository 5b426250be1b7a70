"""RuntimedEngine: ``papermill --engine runtimed`` executes a notebook on a kernel of the daemon."""

from __future__ import annotations

from typing import Any

from papermill.engines import NBClientEngine
from traitlets.config import Config

from runtimed.jupyter.manager import TRAITS, AsyncRuntimedKernelManager

__all__ = ["RuntimedEngine"]


class RuntimedEngine(NBClientEngine):  # type: ignore[misc]  # papermill has no annotations
    """papermill's own engine; ``notebook_id``, ``env_source`` and ``record`` are those of RuntimedKernelManager."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(name) for name in TRAITS if name in kwargs}
        config = Config(kwargs.pop("config", {}))
        config.AsyncRuntimedKernelManager.update(chosen)
        kwargs |= {"kernel_manager_class": AsyncRuntimedKernelManager, "config": config}
        return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)
