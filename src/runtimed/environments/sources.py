"""Which environment a kernel gets is one of a known list, or an error that lists what there is."""

from __future__ import annotations

from dataclasses import dataclass

from runtimed.errors import InvalidRequest, NotAvailable

__all__ = ["KERNEL_TYPES", "SOURCES", "Source", "choose"]

# What works now, and what these names resolve to ("auto:uv" is how nteract's clients say it).
WORKING = {
    "auto": "uv:prewarmed",
    "auto:uv": "uv:prewarmed",
    "uv:prewarmed": "uv:prewarmed",
    "prewarmed": "uv:prewarmed",
}

LATER = (
    "uv:inline", "uv:pyproject", "uv:pep723",
    "auto:conda", "conda:prewarmed", "conda:inline", "conda:env_yml",
    "auto:pixi", "pixi:prewarmed", "pixi:inline", "pixi:toml",
    "auto:deno", "deno",
)  # fmt: skip
KERNELSPEC = "kernelspec:"  # kernelspec:NAME, any installed kernelspec

SOURCES = (*WORKING, *LATER, f"{KERNELSPEC}NAME")
KERNEL_TYPES = ("python", "deno")

_WORKS_NOW = "what works now: kernel_type 'python' with env_source 'auto' or 'uv:prewarmed'"


@dataclass(frozen=True, slots=True)
class Source:
    """The decision: ``name`` is what the documents show, ``asked`` what was asked for."""

    kernel_type: str
    name: str
    asked: str

    @property
    def why(self) -> str:
        if self.asked == self.name:
            return f"{self.name}: asked for"
        return f"{self.name}: {self.asked} means the prewarmed uv environment"


def choose(kernel_type: str, env_source: str) -> Source:
    """What to build for these names. Empty strings (nteract's clients send them on restart) mean the defaults."""
    kernel_type = kernel_type or "python"
    asked = env_source or "auto"
    _check_kernel_type(kernel_type)
    if name := WORKING.get(asked):
        return Source(kernel_type, name, asked)
    if asked in LATER or _is_kernelspec(asked):
        raise NotAvailable(f"env_source {asked!r} is not available yet", hint=_WORKS_NOW)
    raise InvalidRequest(f"{asked!r} is no env_source", hint=f"one of: {', '.join(SOURCES)}")


def _check_kernel_type(kernel_type: str) -> None:
    if kernel_type == "deno":
        raise NotAvailable("kernel_type 'deno' is not available yet", hint=_WORKS_NOW)
    if kernel_type not in KERNEL_TYPES:
        raise InvalidRequest(f"{kernel_type!r} is no kernel_type", hint=f"one of: {', '.join(KERNEL_TYPES)}")


def _is_kernelspec(asked: str) -> bool:
    return asked.startswith(KERNELSPEC) and len(asked) > len(KERNELSPEC)
