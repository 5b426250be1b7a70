"""stub"""
from __future__ import annotations
from typing import Any
class Saver:
    def __init__(self, host: Any) -> None: self.host = host
    async def open(self) -> None: pass
    async def close(self) -> None: pass
    def touch(self) -> None: pass
    async def save(self, effect: Any) -> None: pass
    async def export(self) -> str: return ""
