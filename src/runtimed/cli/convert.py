"""Convert: a notebook's text becomes another format by nbconvert, with the files that belong to it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from runtimed.errors import InvalidRequest, ToolMissing

# What we call a format (and a file's suffix) -> nbconvert's exporter.
EXPORTERS: Final = {"html": "html", "md": "markdown", "py": "script", "pdf": "pdf"}
FORMATS: Final = ("ipynb", *EXPORTERS)


class Converted(NamedTuple):
    """The document, and by name what it refers to, such as the images of a Markdown file."""

    content: bytes
    suffix: str  # of a script that is not Python, such as .ts
    files: dict[str, bytes]


def convert(text: str, to: str, *, stem: str) -> Converted:
    """``stem`` is the name of the file to be, without its suffix: the title, and the folder of its files.

    Raises:
        ToolMissing: nbconvert, or what it needs for this format, is not installed.
    """
    if find_spec("nbconvert") is None:
        raise ToolMissing(f"{to} is made by nbconvert, which is not installed", hint="pip install 'nbconvert>=7.16'")
    exporter: Any = import_module("nbconvert").get_exporter(EXPORTERS[to])()
    notebook: Any = import_module("nbformat").reads(text, as_version=4)
    resources = {"metadata": {"name": stem}, "output_files_dir": f"{stem}_files"}
    refused: type[Exception] = import_module("nbconvert.utils.exceptions").ConversionException
    try:
        body, made = exporter.from_notebook_node(notebook, resources=resources)
    except (OSError, refused) as exc:  # so nbconvert says that xelatex or pandoc is not there
        raise ToolMissing(f"nbconvert cannot make {to}: {reason_of(exc)}", hint=_needs(to)) from exc
    content = body if isinstance(body, bytes) else str(body).encode()
    return Converted(content, str(made.get("output_extension", f".{to}")), dict(made.get("outputs") or {}))


def format_of(to: str | None, output: Path | None) -> str:
    """What was asked for, else what the file is called after, else a notebook."""
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    form = to or suffix or "ipynb"
    if form not in FORMATS:
        raise InvalidRequest(f"No format is known by the suffix of {output}", hint=f"say it: --to {', '.join(FORMATS)}")
    return form


def reason_of(exc: Exception) -> str:
    """The line that says why: TeX's is somewhere in all that it wrote."""
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return next((line.removeprefix("! ") for line in lines if line.startswith("! ")), lines[0])


def _needs(to: str) -> str | None:
    if to != "pdf":
        return None
    return (
        "it needs TeX's xelatex and pandoc, such as: "
        "apt install pandoc texlive-xetex texlive-fonts-recommended texlive-plain-generic"
    )
