"""Package indexes: uv asks where the user's own uv settings say, and where there are none, where their pip would.

uv reads neither pip's variables nor its files. What they hold goes into the child's environment and nowhere else: it
may carry passwords, so it is never logged, and ``withhold`` takes it out of error texts.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IndexSettings", "index_settings", "withhold"]

_PIP_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "proxy", "no-index")
_UV_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_UV_INDEX_KEYS = ("index", "index-url", "extra-index-url", "find-links", "no-index")
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
)  # fmt: skip
_URL = re.compile(r"\b[a-z][a-z0-9+.]*://[^\s`'\")]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What uv's child process gets beside the daemon's environment. Not shown by repr: may hold passwords."""

    variables: Mapping[str, str] = field(repr=False)
    arguments: tuple[str, ...] = ()

    def digest(self, environ: Mapping[str, str]) -> str:
        """Tells one configuration from another, without telling what it is."""
        said = {name: value for name, value in environ.items() if name.startswith("UV_")} | dict(self.variables)
        for irrelevant in ("UV_CACHE_DIR", "UV_NO_PROGRESS", "UV_PYTHON_DOWNLOADS"):
            said.pop(irrelevant, None)
        return hashlib.sha256(json.dumps([said, self.arguments], sort_keys=True).encode()).hexdigest()


def index_settings(environ: Mapping[str, str], home: Path) -> IndexSettings:
    """Read the user's configuration anew: it is cheap, and it may have changed since the daemon's start."""
    uv_file = _uv_config_file(environ, home)
    pip = _pip_settings(environ, home)
    variables = _transport(pip, environ)
    arguments: tuple[str, ...] = ("--config-file", str(uv_file)) if uv_file else ("--no-config",)
    if not _uv_has_indexes(environ, uv_file):
        variables |= _indexes(pip)
        if pip.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
            arguments += ("--no-index",)
    return IndexSettings(variables, arguments)


def withhold(text: str) -> str:
    """Error texts of uv name addresses, some with a password in them: only the package's part stays."""
    return _URL.sub(lambda match: f"<package index>/{match[0].rstrip('/').rpartition('/')[2][:80]}", text)


# ------------------------------------------------------------------ uv's side


def _uv_config_file(environ: Mapping[str, str], home: Path) -> Path | None:
    """The user's or the system's uv.toml; never one that lies above our folder by chance."""
    if chosen := environ.get("UV_CONFIG_FILE"):
        return Path(chosen)
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return next((path for path in (user / "uv/uv.toml", Path("/etc/uv/uv.toml")) if path.is_file()), None)


def _uv_has_indexes(environ: Mapping[str, str], uv_file: Path | None) -> bool:
    return any(environ.get(name) for name in _UV_INDEX_VARIABLES) or _names_indexes(uv_file)


def _names_indexes(uv_file: Path | None) -> bool:
    if uv_file is None:
        return False
    try:
        settings = tomllib.loads(uv_file.read_text())
    except (OSError, ValueError):
        return True  # uv itself will say what is wrong with it
    return any(key in settings or key in settings.get("pip", {}) for key in _UV_INDEX_KEYS)


# ------------------------------------------------------------------ pip's side


def _pip_settings(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Files from the weakest to the strongest, then PIP_* variables, as pip does it."""
    found: dict[str, str] = {}
    for path in _pip_files(environ, home):
        found |= _read_pip_file(path)
    for key in _PIP_KEYS:
        if value := environ.get(f"PIP_{key.upper().replace('-', '_')}"):
            found[key] = value
    return found


def _pip_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    chosen = environ.get("PIP_CONFIG_FILE")
    if chosen == "/dev/null":
        return []
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf", config / "pip/pip.conf"]
    if sys.platform == "darwin":
        support = "Library/Application Support/pip/pip.conf"
        files = [Path("/") / support, *files, home / support]
    files.append(Path(sys.prefix) / "pip.conf")
    return [*files, Path(chosen)] if chosen else files


def _read_pip_file(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {key: value for key, value in parser.items(section) if key in _PIP_KEYS and value}
    return found


def _indexes(pip: Mapping[str, str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    if url := pip.get("index-url", "").strip():
        variables["UV_DEFAULT_INDEX"] = url
    if extra := [url for url in pip.get("extra-index-url", "").split() if _may_be_asked(url)]:
        variables["UV_INDEX"] = " ".join(extra)
        # pip looks at all indexes. So do we, but a name that the user's own index has comes from there.
        variables["UV_INDEX_STRATEGY"] = "unsafe-first-match"
    if links := [link for link in pip.get("find-links", "").split() if _may_be_asked(link)]:
        variables["UV_FIND_LINKS"] = ",".join(links)
    return variables


def _transport(pip: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Certificates and proxies, where the environment does not name any."""
    variables = _certificates(pip.get("cert"), environ)
    if proxy := pip.get("proxy"):
        names = ("HTTPS_PROXY", "HTTP_PROXY")
        variables |= {name: proxy for name in names if not environ.get(name) and not environ.get(name.lower())}
    if hosts := pip.get("trusted-host", "").split():
        variables["UV_INSECURE_HOST"] = " ".join(hosts)
    return variables


def _certificates(cert: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """As pip: what it is told, else what the system trusts. (uv alone brings roots of its own, which know no proxy.)"""
    if any(environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")):
        return {}
    if cert:
        return {"SSL_CERT_DIR" if Path(cert).is_dir() else "SSL_CERT_FILE": cert}
    if sys.platform == "darwin" or any(Path(bundle).is_file() for bundle in _SYSTEM_BUNDLES):
        # uv refuses to work with it where the system has none. The second name is what older ones read.
        return {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}
    return {}


def _may_be_asked(place: str) -> bool:
    """pip only warns about a folder that is not there, uv fails."""
    if place.startswith("file:"):
        return Path(unquote(urlsplit(place).path)).exists()
    return "://" in place or Path(place).expanduser().exists()
