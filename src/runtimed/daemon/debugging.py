"""A kernel has one debugger: it is the first client's that asks, until that one is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtimed.daemon.tenant import Tenant

__all__ = ["Debugger", "refused"]

FOR_ALL = frozenset({"debugInfo"})
ENDS = frozenset({"disconnect", "terminate"})


class Debugger:
    """Of the kernel that runs: whose it is, or nobody's."""

    def __init__(self) -> None:
        self.holder: Tenant | None = None

    def admits(self, tenant: Tenant, request: dict[str, Any]) -> bool:
        """Whether ``tenant`` may send this (the content of a debug_request); it holds the debugger from then on."""
        command = request.get("command")
        if command in FOR_ALL:
            return True
        if self.holder not in (None, tenant):
            return False
        self.holder = None if command in ENDS else tenant
        return True

    def let_go(self, tenant: Tenant | None = None) -> None:
        """It leaves; or, with no name, whoever it was: the kernel has ended."""
        if tenant in (None, self.holder):
            self.holder = None


def refused(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to who may not (a response of the Debug Adapter Protocol)."""
    return {
        "type": "response",
        "request_seq": request.get("seq", 0),
        "success": False,
        "command": request.get("command", ""),
        "message": "another client of this kernel is debugging",
        "body": {},
    }
