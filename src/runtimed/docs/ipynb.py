"""The .ipynb side of a notebook, all of it: read, opened, exported, written, and merged when changed outside."""

from __future__ import annotations

from runtimed.docs.nbexport import export, file_id
from runtimed.docs.nbimport import LoadStep, plan_import
from runtimed.docs.nbmerge import Merged, changes_between, merge
from runtimed.docs.nbtext import Parsed, dumps, empty, examine, parse

__all__ = [
    "LoadStep",
    "Merged",
    "Parsed",
    "changes_between",
    "dumps",
    "empty",
    "examine",
    "export",
    "file_id",
    "merge",
    "parse",
    "plan_import",
]
