from __future__ import annotations

import pytest
import rattler
from rattler import exceptions as refusals

from runtimed.environments.conda import check_spec, classify
from runtimed.environments.condaspec import subdir
from runtimed.errors import InstallError, SolveError


@pytest.mark.parametrize("spec", ["numpy", "numpy>=2", "python=3.12", "conda-forge::numpy =2", "numpy[build=py_*]"])
def test_what_conda_would_understand_is_a_spec(spec: str) -> None:
    check_spec(spec)


@pytest.mark.parametrize("spec", ["", "numpy==", "@@", "numpy; os", "nu*", "./numpy"])
def test_what_it_would_not_is_refused_by_name(spec: str) -> None:
    with pytest.raises(SolveError, match="is no conda package"):
        check_spec(spec)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            refusals.SolverError("Cannot solve the request because of: No candidates were found for nmpy *.\n"),
            SolveError,
            "the packages cannot be resolved: No candidates were found for nmpy",
        ),
        (
            refusals.GatewayError("error sending request for url (https://me:secret@host/c/repodata.json)"),
            InstallError,
            "a conda channel cannot be reached: error sending request for url (<package index>/repodata.json)",
        ),
        (refusals.GatewayError("could not find subdir 'noarch'"), InstallError, "a conda channel cannot be read"),
        (refusals.IoError("No space left on device (os error 28)"), InstallError, "the disk is full"),
        (refusals.ParseCondaLockError("unsupported version"), InstallError, "the lock file cannot be read"),
    ],
)
def test_rattlers_words_become_our_errors_less_the_addresses(error: Exception, kind: type, said: str) -> None:
    found = classify(error)

    assert type(found) is kind
    assert said in found.message
    assert "secret" not in str(found)
    assert found.hint


def test_the_platform_has_the_name_that_rattler_gives_it() -> None:
    assert subdir() == str(rattler.Subdir.current())
