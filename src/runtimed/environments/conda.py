"""conda: match specs become a list of packages, and that a prefix, by rattler; no conda is installed for it.

The one door to rattler. What it raises comes out as our errors, what it reports as progress.
"""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import rattler
from rattler import exceptions as refusals

from runtimed.environments.condaspec import package_name
from runtimed.environments.holds import holding
from runtimed.environments.indexes import withhold
from runtimed.environments.progress import Progress
from runtimed.errors import EnvError, InstallError, SolveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from rattler import RepoDataRecord

    from runtimed.environments.progress import OnProgress

    Records = Sequence[RepoDataRecord]

__all__ = ["FAILED", "Conda", "check_spec", "classify", "fingerprint", "is_here", "pins"]

SOLVE_WITHIN = datetime.timedelta(minutes=5)
INSTALL_WITHIN = 900.0  # seconds

FAILED = (
    refusals.SolverError, refusals.GatewayError, refusals.InstallerError, refusals.TransactionError,
    refusals.LinkError, refusals.IoError, refusals.CacheDirError, refusals.FetchRepoDataError, refusals.ExtractError,
    refusals.InvalidChannelError, refusals.InvalidUrlError, refusals.ConversionError, refusals.ParseCondaLockError,
    refusals.InvalidMatchSpecError, refusals.DetectVirtualPackageError, refusals.ConfigError,
    refusals.ValidatePackageRecordsError,
)  # fmt: skip
_NETWORK = ("error sending request", "client error (connect)", "dns error", "timed out", "connection", "status code 5")
_SPACE = ("no space left", "disk quota")


def check_spec(spec: str) -> None:
    """SolveError unless it is one of conda's match specs."""
    try:
        rattler.MatchSpec(spec)
    except refusals.InvalidMatchSpecError as exc:
        reason = str(exc).partition("\n")[0]
        raise SolveError(f"{spec!r} is no conda package: {reason}", hint='such as "numpy", "numpy>=2"') from exc


def is_here(spec: str, records: Iterable[RepoDataRecord]) -> bool:
    """Whether one of the packages is what the spec asks for."""
    wanted = rattler.MatchSpec(spec)
    return any(record.matches(wanted) for record in records)


def fingerprint(records: Records) -> list[list[str]]:
    """What tells one set of packages from another, in an order of its own."""
    return sorted([str(record.url), (record.sha256 or b"").hex()] for record in records)


def pins(records: Records) -> tuple[str, ...]:
    return tuple(sorted(f"{record.name.normalized}=={record.version}" for record in records))


class Conda:
    """Solves and installs with a cache of our own and the network settings of the user's pixi or rattler."""

    def __init__(self, cache: Path) -> None:
        """Reads the disk: for a thread."""
        self._cache = cache
        self._asking, self._fetching = _clients()

    async def solve(
        self,
        specs: Sequence[str],
        channels: Sequence[str],
        *,
        keep: Records = (),
        refresh: bool = False,
    ) -> list[RepoDataRecord]:
        """The packages, those of ``keep`` as they are where that is possible.

        Raises:
            SolveError: there is no such set; InstallError: a channel cannot be read.
        """
        try:
            return await self._solve(specs, channels, keep, "no-cache" if refresh else "cache-or-fetch")
        except refusals.GatewayError as exc:
            if not _has(exc, _NETWORK):
                raise classify(exc) from exc
            try:  # what the channels said last time may do
                return await self._solve(specs, channels, keep, "force-cache-only")
            except FAILED:
                raise classify(exc) from exc
        except FAILED as exc:
            raise classify(exc) from exc

    async def _solve(
        self, specs: Sequence[str], channels: Sequence[str], keep: Records, cache: Any
    ) -> list[RepoDataRecord]:
        gateway = rattler.Gateway(
            cache_dir=self._cache / "repodata",
            default_config=rattler.SourceConfig(cache_action=cache),
            client=self._asking,
        )
        async with holding(self._cache):
            return await rattler.solve(
                sources=_sources(specs, channels),
                specs=specs,
                gateway=gateway,
                locked_packages=keep,
                virtual_packages=await asyncio.to_thread(rattler.VirtualPackage.detect),
                timeout=SOLVE_WITHIN,
            )

    async def install(self, records: Records, prefix: Path, *, final: Path, progress: OnProgress) -> None:
        """Into ``prefix``, written as if it were ``final`` already.

        Raises:
            InstallError: network, disk, or a package that is not what its channel says.
        """
        try:
            async with holding(self._cache), asyncio.timeout(INSTALL_WITHIN):
                await rattler.install(
                    list(records),
                    prefix,
                    cache_dir=self._cache / "packages",
                    client=self._fetching,
                    show_progress=False,
                    execute_link_scripts=False,  # code of packages, before anybody has run a cell
                    alternative_target_prefix=final,
                    reporter=_Reporter(progress, len(records)),  # type: ignore[abstract]  # what is not written does nothing
                )
        except TimeoutError as exc:
            raise InstallError(
                f"installing took longer than {INSTALL_WITHIN:.0f} s and was stopped", kind="timeout"
            ) from exc
        except FAILED as exc:
            raise classify(exc) from exc


def _clients() -> tuple[rattler.Client, rattler.Client]:
    """For channels, whose absence is soon known, and for packages. Proxies, mirrors, certificates and logins are the
    user's, as pixi has them."""
    try:
        config = rattler.Config.load_from_default_locations("pixi")
    except refusals.ConfigError as exc:
        raise InstallError(f"the pixi configuration cannot be read: {exc}", hint="correct that file") from exc
    return rattler.Client.from_config(config, max_retries=1), rattler.Client.from_config(config)


def _sources(specs: Sequence[str], channels: Sequence[str]) -> list[str]:
    """The channels, and those that single specs name."""
    named = (spec.partition("::")[0] for spec in specs if "::" in spec and package_name(spec))
    return list(dict.fromkeys((*channels, *named)))


class _Reporter(rattler.InstallerReporter):
    """Called in rattler's threads; one message a package."""

    def __init__(self, progress: OnProgress, total: int) -> None:
        loop = asyncio.get_running_loop()
        self._say: Callable[[Progress], object] = lambda step: loop.call_soon_threadsafe(progress, step)
        self._total = total
        self._names: dict[int, str] = {}
        self._fetched = 0
        self._linked = 0

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        self._names[operation] = package_name
        self._say(Progress("downloading", f"Fetching {package_name}", self._fetched, self._total))
        return operation

    def on_populate_cache_complete(self, cache_entry: int) -> None:
        self._fetched += 1
        name = self._names.get(cache_entry, "")
        self._say(Progress("downloading", f"Fetched {name}", self._fetched, self._total))

    def on_link_start(self, operation: int, package_name: str) -> int:
        self._names[operation] = package_name
        return operation

    def on_link_complete(self, index: int) -> None:
        self._linked += 1
        name = self._names.get(index, "")
        self._say(Progress("installing", f"Installed {name}", self._linked, self._total))


# ------------------------------------------------------------------ errors


def classify(error: Exception) -> EnvError:
    """rattler's words -> our error. They are kept, less the addresses."""
    text = withhold(_short(str(error)))
    if isinstance(error, (refusals.SolverError, refusals.InvalidMatchSpecError)):
        return SolveError(f"the packages cannot be resolved: {text}", hint="correct the package list")
    if isinstance(error, refusals.ParseCondaLockError):
        return InstallError(f"the lock file cannot be read: {text}", hint="write it anew, e.g. with `pixi lock`")
    if _has(error, _SPACE):
        hint = "free some space, then start the kernel again"
        return InstallError(f"the disk is full: {text}", hint=hint, kind="disk")
    if _has(error, _NETWORK):
        hint = "check the network, and the channels (RUNTIMED_CONDA_CHANNELS, or where the project names them)"
        return InstallError(f"a conda channel cannot be reached: {text}", hint=hint, kind="network")
    if isinstance(error, (refusals.GatewayError, refusals.InvalidChannelError, refusals.InvalidUrlError)):
        return InstallError(f"a conda channel cannot be read: {text}", hint="check how the channel is called")
    return InstallError(f"the environment could not be built: {text}")


def _short(text: str) -> str:
    text = text.removeprefix("Cannot solve the request because of: ").strip()
    lines = [line.strip().removesuffix(" *.") for line in text.splitlines()]
    return "; ".join(line for line in lines if line)[:2000]


def _has(error: Exception, signs: Iterable[str]) -> bool:
    lowered = str(error).lower()
    return any(sign in lowered for sign in signs)
