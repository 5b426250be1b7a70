"""An environment's Python is run, and what it printed is looked at."""

from __future__ import annotations

import asyncio
import os
import subprocess

from runtimed.environments.environment import Environment


async def say(environment: Environment, code: str) -> str:
    argv = [str(environment.python), "-c", code]
    env = os.environ | environment.env
    done = await asyncio.to_thread(subprocess.run, argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
