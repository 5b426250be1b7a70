"""What a client shows of cells, outputs and results, as JSON: both clients have the same names for these."""

from __future__ import annotations

import base64
from typing import Any


def cell(seen: Any) -> dict[str, Any]:
    return {
        "id": seen.id,
        "type": seen.cell_type,
        "source": seen.source,
        "count": seen.execution_count,
        "metadata": getattr(seen, "metadata", {}),  # ours has none
        "outputs": [output(o) for o in seen.outputs],
    }


def output(seen: Any) -> dict[str, Any]:
    return {
        "type": seen.output_type,
        "name": seen.name,
        "text": seen.text,
        "data": {mime: _content(value) for mime, value in (seen.data or {}).items()},
        "urls": getattr(seen, "blob_urls", None) or {},  # nteract's alone
        "ename": seen.ename,
        "evalue": seen.evalue,
        "traceback": seen.traceback,
    }


def result(seen: Any) -> dict[str, Any]:
    return {
        "execution": seen.execution_id,
        "success": seen.success,
        "count": seen.execution_count,
        "stdout": seen.stdout,
        "stderr": seen.stderr,
        "outputs": [output(o) for o in seen.outputs],
    }


def _content(value: Any) -> Any:
    """As JSON, and for bytes as a notebook file has them."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
