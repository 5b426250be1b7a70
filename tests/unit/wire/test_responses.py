from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed import errors
from runtimed.errors import RemoteProtocolError
from runtimed.wire.responses import (
    AllCellsQueued,
    BlobUploadError,
    CellQueued,
    EnvironmentSelection,
    Error,
    KernelLaunched,
    NoKernel,
    NotebookSaveBlocked,
    NotebookSaved,
    PathAlreadyOpen,
    QueuedCell,
    Response,
    SaveIo,
    SequenceExhausted,
    decode_response,
    encode_response,
    error_of,
)
from unit.wire.strategies import messages


@given(st.text(max_size=40), messages(Response))
def test_every_response_comes_back_with_the_id_it_answers(id: str, response: Response) -> None:
    assert decode_response(encode_response(id, response)) == (id, response)


def test_an_error_of_ours_is_told_with_its_code_and_its_hint() -> None:
    told = error_of(errors.NoKernel("no kernel runs", hint="start one"))

    assert told == Error(error="no kernel runs", code="no_kernel", hint="start one")


@given(st.binary(max_size=80))
def test_random_bytes_end_in_a_protocol_error(data: bytes) -> None:
    for payload in (data, b'{"id":"1","result":"' + data):
        try:
            assert decode_response(payload)[0] == "1"
        except RemoteProtocolError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("response", "payload"),
    [
        (NoKernel(), {"result": "no_kernel"}),
        (Error(error="Cell not found: x"), {"result": "error", "error": "Cell not found: x"}),
        (
            Error(error="no", code="no_kernel", hint="start one"),
            {"result": "error", "error": "no", "code": "no_kernel", "hint": "start one"},
        ),
        (
            KernelLaunched(kernel_type="python", env_source="uv:prewarmed", launched_config={}),
            {
                "result": "kernel_launched",
                "kernel_type": "python",
                "env_source": "uv:prewarmed",
                "launched_config": {},
            },
        ),
        (CellQueued("c", "e"), {"result": "cell_queued", "cell_id": "c", "execution_id": "e"}),
        (
            AllCellsQueued([QueuedCell("c", "e")]),
            {"result": "all_cells_queued", "queued": [{"cell_id": "c", "execution_id": "e"}]},
        ),
        (
            NotebookSaveBlocked(reason=PathAlreadyOpen("u", "/a.ipynb"), path="/a.ipynb"),
            {
                "result": "notebook_save_blocked",
                "path": "/a.ipynb",
                "reason": {"type": "path_already_open", "uuid": "u", "path": "/a.ipynb"},
            },
        ),
        (
            NotebookSaveBlocked(reason=SequenceExhausted()),
            {"result": "notebook_save_blocked", "reason": {"type": "sequence_exhausted"}},
        ),
    ],
)
def test_responses_look_as_those_of_nteract(response: Response, payload: dict[str, Any]) -> None:
    assert json.loads(encode_response("1", response)) == {"id": "1", **payload}


@pytest.mark.parametrize(
    ("payload", "response"),
    [
        (
            b'{"id":"x","result":"notebook_save_blocked","save_sequence":1,"reason":{"type":"io","message":"why"}}',
            NotebookSaveBlocked(reason=SaveIo("why"), save_sequence=1),
        ),
        (
            b'{"id":"x","result":"notebook_saved","path":"/s.ipynb","exported_heads":["b4"],"save_sequence":2}',
            NotebookSaved(path="/s.ipynb", exported_heads=["b4"], save_sequence=2),
        ),
        (
            b'{"id":"x","result":"environment_selection","selection":{"revision":0,"selected":null}}',
            EnvironmentSelection({"revision": 0, "selected": None}),
        ),
        (
            b'{"id":"x","result":"blob_upload_error","reason":{"kind":"unknown_upload"}}',
            BlobUploadError({"kind": "unknown_upload"}),
        ),
    ],
)
def test_what_the_real_daemon_answered_is_understood(payload: bytes, response: Response) -> None:
    assert decode_response(payload) == ("x", response)


@pytest.mark.parametrize("payload", [b'{"id":"1","result":"bogus"}', b'{"id":"1"}', b'{"result":"ok"}', b"[]"])
def test_unknown_and_malformed_responses_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_response(payload)
