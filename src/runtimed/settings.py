"""Settings: defaults, then environment, then command line become one frozen value, or an error naming the culprit."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimed import paths
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = "0.1.0"
PROTOCOL_VERSION = 4
TRUST_POLICIES = ("prompt", "allowlist", "all")
DEFAULT_PACKAGES = ("numpy", "pandas", "matplotlib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a daemon can be told. Times are seconds; a file descriptor of None is not there."""

    socket_path: Path = field(default_factory=paths.default_socket_path)
    cache_dir: Path = field(default_factory=paths.cache_dir)
    blob_dir: Path = field(default_factory=lambda: paths.cache_dir() / "blobs")
    env_dir: Path = field(default_factory=paths.environments_dir)
    uv_pool_size: int = 2
    conda_pool_size: int = 0
    uv_default_packages: tuple[str, ...] = DEFAULT_PACKAGES
    conda_default_packages: tuple[str, ...] = DEFAULT_PACKAGES
    conda_channels: tuple[str, ...] = ("conda-forge",)  # names, addresses, file:// too; first come, first served
    env_limit: int = 10 << 30  # bytes that environments may take before the longest unused go
    output_share: float = 0.5  # of what is free on the disk, that the outputs of one execution may take
    trust_policy: str = "allowlist"  # or prompt, all: what may be installed without a person's approval
    trust_path: Path = field(default_factory=paths.trust_path)
    keep_alive_secs: float = 1800.0
    kernel_start_timeout: float = 60.0
    autosave_secs: float = 2.0
    max_source_chars: int = 256_000
    log_level: str = "INFO"
    daemon_version: str = VERSION
    daemon_api_version: int = 1  # what get_daemon_info says: nteract's desktop app refuses numbers it does not know
    ready_fd: int | None = None  # one line is written there when the daemon listens

    @property
    def log_path(self) -> Path:
        return self.cache_dir / "runtimed.log"

    @property
    def lease_dir(self) -> Path:
        """Records of the processes that holders of leases own."""
        return self.cache_dir / "leases"

    @property
    def warm_dir(self) -> Path:
        """Of what is kept ready and belongs to no room yet."""
        return self.cache_dir / "warm"

    @property
    def lock_path(self) -> Path:
        """Beside the socket: whoever holds it may bind."""
        return self.socket_path.with_suffix(".lock")

    @classmethod
    def load(
        cls, overrides: Mapping[str, object] | None = None, *, environ: Mapping[str, str] | None = None
    ) -> Settings:
        """``overrides`` (what the command line said; None = not said) beat ``RUNTIMED_*``, which beat the defaults."""
        said = {name: value for name, value in (overrides or {}).items() if value is not None}
        if unknown := said.keys() - {f.name for f in fields(cls)}:
            raise InvalidRequest(f"Unknown setting: {', '.join(sorted(unknown))}")
        return cls(**_with_folders(_from_environment(os.environ if environ is None else environ) | said))


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, (variable, read) in _VARIABLES.items():
        if text := environ.get(variable):
            found[name] = _read(variable, text, read)
    return found


def _read(variable: str, text: str, read: Callable[[str], object]) -> object:
    try:
        return read(text)
    except ValueError as exc:
        raise InvalidRequest(
            f"{variable}={text!r} makes no sense: {exc}", hint=f"unset {variable} or correct it"
        ) from exc


def _with_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Folders that nobody named follow from the socket, or from the cache folder if that was named."""
    socket_path = Path(values.get("socket_path", paths.default_socket_path())).expanduser().absolute()
    named = values.get("cache_dir")
    cache = Path(named).expanduser().absolute() if named else paths.cache_dir(socket_path)
    blobs = Path(values.get("blob_dir", cache / "blobs")).expanduser().absolute()
    environments = values.get("env_dir", cache / "environments" if named else paths.environments_dir())
    trust = values.get("trust_path", cache / "trust.json" if named else paths.trust_path())
    folders = {"socket_path": socket_path, "cache_dir": cache, "blob_dir": blobs, "env_dir": environments}
    return values | folders | {"trust_path": trust}


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("it is negative")
    return number


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError("it is no finite amount")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise ValueError("a share is more than 0 and at most 1")
    return number


def _size(text: str) -> int:
    """Of gigabytes, bytes."""
    return int(_amount(text) * (1 << 30))


def _policy(text: str) -> str:
    if text not in TRUST_POLICIES:
        raise ValueError(f"it is none of {', '.join(TRUST_POLICIES)}")
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


_VARIABLES: dict[str, tuple[str, Callable[[str], object]]] = {
    "env_dir": ("RUNTIMED_ENV_DIR", _folder),
    "uv_pool_size": ("RUNTIMED_UV_POOL_SIZE", _count),
    "conda_pool_size": ("RUNTIMED_CONDA_POOL_SIZE", _count),
    "uv_default_packages": ("RUNTIMED_UV_DEFAULT_PACKAGES", _words),
    "conda_default_packages": ("RUNTIMED_CONDA_DEFAULT_PACKAGES", _words),
    "conda_channels": ("RUNTIMED_CONDA_CHANNELS", _words),
    "env_limit": ("RUNTIMED_ENV_LIMIT_GB", _size),
    "output_share": ("RUNTIMED_OUTPUT_SHARE", _share),
    "trust_policy": ("RUNTIMED_TRUST", _policy),
    "keep_alive_secs": ("RUNTIMED_KEEP_ALIVE_SECS", _amount),
    "log_level": ("RUNTIMED_LOG_LEVEL", str.upper),
    "daemon_api_version": ("RUNTIMED_DAEMON_API_VERSION", _count),
}
