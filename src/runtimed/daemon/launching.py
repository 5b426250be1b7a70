"""What a room asks of a kernel's start becomes a decision, and an environment becomes what it takes to launch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from runtimed.environments.projects import Found, look_up
from runtimed.environments.sources import KERNELSPEC, NAMED, Decision, decide
from runtimed.kernels.installed import installed_spec
from runtimed.kernels.kernelspec import LaunchSpec, kernel_environ

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.docs.declared import Declared
    from runtimed.environments.environment import Environment

__all__ = ["Where", "decided", "spec_of"]


class Where(NamedTuple):
    """Where a notebook is: the folder its kernel runs in, its file if it has one, and what else it is called."""

    folder: Path
    path: str | None
    name: str

    @property
    def place(self) -> str:
        """What a person calls it."""
        return self.path or self.name


async def decided(kernel_type: str, env_source: str, declared: Declared, where: Where) -> Decision:
    """InvalidRequest where there is nothing to decide for."""
    # A notebook without a file is in no project, wherever its client may stand; unless a project's file is asked for.
    if where.path is not None or NAMED.get(env_source) is not None:
        found = await asyncio.to_thread(look_up, where.folder)
    else:
        found = Found(looked=("no project files: the notebook has no file of its own",))
    return decide(kernel_type, env_source, declared, found)


async def spec_of(environment: Environment, *, cwd: Path) -> LaunchSpec:
    """The environment in the kernels' own terms.

    Raises:
        InvalidRequest, ToolMissing, KernelStartError: it is an installed kernelspec that cannot be used.
    """
    if environment.source.startswith(KERNELSPEC):
        return await asyncio.to_thread(installed_spec, environment.kernel_name, cwd, environment.env)
    return LaunchSpec(
        argv=environment.argv,
        env=kernel_environ(environment.env),
        cwd=cwd,
        language=environment.language,
        display_name=environment.display_name,
        kernel_name=environment.kernel_name,
        interrupt_mode=environment.interrupt_mode,
        transport=environment.transport,
        late_outputs=environment.late_outputs,
        wedges=environment.wedges,
        layer=environment.layers[0].path if len(environment.layers) == 1 else None,
    )
