"""What a room asks of a kernel's start becomes a decision, and an environment becomes what it takes to launch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtimed.environments.projects import Found, look_up
from runtimed.environments.sources import KERNELSPEC, NAMED, Decision, decide
from runtimed.kernels.installed import installed_spec
from runtimed.kernels.kernelspec import LaunchSpec, kernel_environ

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.environments.environment import Environment
    from runtimed.room.effects import LaunchKernel

__all__ = ["decided", "spec_of"]


async def decided(effect: LaunchKernel, folder: Path, *, has_file: bool) -> Decision:
    """InvalidRequest where there is nothing to decide for."""
    # A notebook without a file is in no project, wherever its client may stand; unless a project's file is asked for.
    in_project = has_file or NAMED.get(effect.env_source) is not None
    found = await asyncio.to_thread(look_up, folder) if in_project else Found()
    return decide(effect.kernel_type, effect.env_source, effect.declared, found)


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
