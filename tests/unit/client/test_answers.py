"""Answers: what the daemon refused becomes the typed error it was, or the nearest we know."""

from __future__ import annotations

import pytest

from runtimed import errors
from runtimed.client.answers import error_of, expect, refused
from runtimed.wire import responses
from runtimed.wire.handshake import ConnectionInfo


def test_the_expected_answer_is_given_on() -> None:
    assert expect(responses.InterruptSent(), responses.InterruptSent) == responses.InterruptSent()


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_code_comes_out_as_the_error_it_was(code: str) -> None:
    error = error_of(responses.Error("what happened", code=code, hint="what to do"))

    assert type(error) is errors.BY_CODE[code]
    assert str(error) == "what happened (what to do)"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (responses.NoKernel(), errors.NoKernel),
        (responses.GuardRejected("x"), errors.NeedsApproval),
        (responses.ExecutionIdRejected("x", "malformed"), errors.InvalidRequest),
        (responses.Error("Cell not found in document: x"), errors.CellNotFound),
        (responses.Error("something new"), errors.RequestError),
        (responses.Error("of a later version", code="unheard_of"), errors.RequestError),
        (responses.Ok(), errors.RemoteProtocolError),
        (responses.NotebookSaveBlocked(reason=responses.PathAlreadyOpen("u", "/p")), errors.InvalidRequest),
        (responses.NotebookSaveBlocked(reason=responses.SourceConflict("m")), errors.FileConflict),
        (responses.NotebookSaveBlocked(reason=responses.SaveIo("disk full")), errors.CacheUnusable),
        (responses.NotebookSaveBlocked(reason=responses.SaveIo("m"), code="invalid_request"), errors.InvalidRequest),
        (responses.NotebookSaveBlocked(reason=responses.SequenceExhausted()), errors.RequestError),
    ],
)
def test_refusals_are_typed(answer: responses.Response, expected: type[errors.RuntimedError]) -> None:
    error = error_of(answer)
    assert type(error) is expected
    with pytest.raises(expected):
        expect(answer, responses.InterruptSent)


def test_a_room_refused_without_a_code_is_told_by_its_words() -> None:
    info = ConnectionInfo(notebook_id="", cell_count=0, needs_trust_approval=False)
    assert type(refused("Notebook x is no longer available (evicted)", info)) is errors.NotebookNotFound
