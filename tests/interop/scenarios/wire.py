"""The wire: every request that the protocol knows is answered, by each daemon, whatever a client makes of it.

Each line of the tables is a request, the answer of nteract's daemon, and ours where it is another one on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interop.matrix import OURS

NOBODY = "00000000-0000-4000-8000-000000000000"
UNSEEN = ["00" * 32]  # heads that no notebook has


@dataclass(frozen=True)
class Asked:
    """``theirs`` and ``ours`` are the answer's ``result`` (of a request) or ``type`` (of a pool request)."""

    request: dict[str, Any]
    theirs: str
    ours: str = ""
    why: str = ""  # ours is another
    since: str = ""  # nteract's daemons before this release know no such request

    def expected(self, kind: str) -> str | None:
        """None where the daemon (``ours``, or a release) cannot be asked."""
        if kind == OURS:
            return self.ours or self.theirs
        return self.theirs if kind >= self.since else None


NOT_SERVED = "we borrow no environments of Conda's, and say so in our capabilities"

# In a room that has a kernel and one code cell, CELL, which ran as RAN.
REQUESTS = (
    Asked({"action": "complete", "code": "pri", "cursor_pos": 3}, "completion_result"),
    Asked({"action": "get_history", "pattern": None, "n": 3, "unique": True}, "history_result"),
    Asked({"action": "acknowledge_notebook_sync"}, "notebook_sync_acknowledged"),
    Asked({"action": "launch_kernel", "kernel_type": "python", "env_source": "auto"}, "kernel_already_running"),
    Asked({"action": "launch_kernel", "kernel_type": "", "env_source": ""}, "kernel_already_running"),
    Asked({"action": "execute_cell", "cell_id": "nope"}, "error"),
    Asked({"action": "execute_cell", "cell_id": "CELL", "execution_id": "bad"}, "execution_id_rejected"),
    Asked({"action": "execute_cell", "cell_id": "CELL", "execution_id": "RAN"}, "execution_id_rejected"),
    Asked({"action": "execute_cell_guarded", "cell_id": "CELL", "observed_heads": UNSEEN}, "guard_rejected"),
    Asked({"action": "run_all_cells", "cell_execution_ids": {"CELL": "bad"}}, "execution_id_rejected"),
    Asked({"action": "run_all_cells_guarded", "observed_heads": UNSEEN}, "guard_rejected"),
    Asked({"action": "get_doc_bytes"}, "doc_bytes"),
    Asked({"action": "clone_as_ephemeral", "source_notebook_id": "NOTEBOOK"}, "notebook_cloned"),
    Asked({"action": "clone_as_ephemeral", "source_notebook_id": NOBODY}, "error"),
    Asked({"action": "create_blob_upload", "media_type": "text/plain", "size": 5}, "blob_upload_created"),
    Asked({"action": "create_blob_upload", "media_type": "text/plain", "size": 200 << 20}, "blob_upload_error"),
    Asked({"action": "complete_blob_upload", "upload_id": "nope", "parts": []}, "blob_upload_error"),
    Asked({"action": "abort_blob_upload", "upload_id": "nope"}, "blob_upload_error"),
    Asked({"action": "approve_trust", "observed_heads": UNSEEN}, "guard_rejected"),
    Asked({"action": "approve_project_environment", "project_file_path": "/nowhere/pyproject.toml"}, "error"),
    Asked({"action": "sync_environment", "guard": {"observed_heads": UNSEEN}}, "guard_rejected"),
    Asked({"action": "save_notebook", "format_cells": False}, "notebook_save_blocked"),
    Asked({"action": "save_notebook", "format_cells": False, "path": "relative.ipynb"}, "notebook_save_blocked"),
    Asked({"action": "get_environment_selection"}, "environment_selection", "error", NOT_SERVED, "2.9.0"),
    Asked({"action": "list_conda_environments", "refresh": False}, "conda_environments", "error", NOT_SERVED, "2.9.0"),
    Asked(
        {"action": "list_installed_conda_packages", "refresh": False},
        "environment_selection_rejected",
        "error",
        NOT_SERVED,
        "2.9.0",
    ),
    Asked(
        {"action": "apply_environment_selection", "expected_revision": 0, "observed_heads": []},
        "guard_rejected",
        "error",
        NOT_SERVED,
        "2.9.0",
    ),
    Asked({"action": "execute_cell", "cell_id": "CELL"}, "cell_queued"),
    Asked({"action": "run_all_cells"}, "all_cells_queued"),
    Asked({"action": "interrupt_execution"}, "interrupt_sent"),
    Asked({"action": "shutdown_kernel"}, "kernel_shutting_down"),
)

POOL = (
    Asked({"type": "ping"}, "pong"),
    Asked({"type": "get_daemon_info"}, "daemon_info"),
    Asked({"type": "status"}, "stats"),
    Asked({"type": "list_rooms"}, "rooms_list"),
    Asked({"type": "inspect_notebook", "notebook_id": "NOTEBOOK"}, "notebook_state"),
    Asked({"type": "inspect_notebook", "notebook_id": NOBODY}, "error"),
    Asked({"type": "get_notebook_projection", "notebook_id": "NOTEBOOK"}, "notebook_projection"),
    Asked({"type": "get_notebook_projection", "notebook_id": NOBODY}, "notebook_projection_unavailable"),
    Asked({"type": "get_execution_result", "execution_id": "RAN"}, "execution_result"),
    Asked({"type": "get_execution_result", "execution_id": NOBODY}, "error"),
    Asked({"type": "active_env_paths"}, "active_env_paths"),
    Asked({"type": "get_runtime_metrics"}, "runtime_metrics"),
    Asked({"type": "take", "env_type": "uv"}, "empty"),
    Asked({"type": "return", "env": {"env_type": "uv", "venv_path": "/x", "python_path": "/x/p"}}, "returned"),
    Asked({"type": "renew_host_telemetry"}, "error"),
    Asked({"type": "close_host_telemetry"}, "error"),
    Asked({"type": "flush_pool"}, "flushed"),
    Asked({"type": "shutdown_notebook", "notebook_id": NOBODY}, "notebook_shutdown"),
    Asked({"type": "shutdown_notebook", "notebook_id": "NOTEBOOK"}, "notebook_shutdown"),
)


def filled(value: Any, names: dict[str, str]) -> Any:
    """A request with the names of this room in it."""
    match value:
        case dict():
            return {filled(key, names): filled(part, names) for key, part in value.items()}
        case str():
            return names.get(value, value)
    return value
