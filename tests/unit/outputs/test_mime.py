"""Content is text, JSON or binary by its MIME type, and no byte of it is lost."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.outputs.mime import INLINE_LIMIT, is_binary, is_json, must_be_blob, store, to_nbformat, unpack
from unit.outputs.places import Blobs

PNG = base64.b64encode(bytes(range(256))).decode()


@pytest.mark.parametrize(
    "mime",
    ["image/png", "IMAGE/JPEG", "image/webp; q=1", "audio/mpeg", "video/mp4", "application/pdf", "application/zip"],
)
def test_images_sound_film_and_most_applications_are_binary(mime: str) -> None:
    assert is_binary(mime)


@pytest.mark.parametrize(
    "mime",
    [
        "text/plain",
        "text/html",
        "image/svg+xml",
        "application/json",
        "application/vnd.vegalite.v5+json",
        "application/data.json",
        "application/javascript",
        "application/xhtml+xml",
        "application/x-latex",
        "application/atom+xml",
        "model/obj",
    ],
)
def test_what_people_can_read_is_text(mime: str) -> None:
    assert not is_binary(mime)


def test_json_is_what_nbformat_leaves_alone() -> None:
    assert is_json("application/json")
    assert is_json("application/vnd.jupyter.widget-view+json")
    assert not is_json("text/json")
    assert not is_json("application/data.json")


def test_text_is_a_blob_from_the_limit_in_bytes_on() -> None:
    assert not must_be_blob("text/plain", "x" * (INLINE_LIMIT - 1))
    assert must_be_blob("text/plain", "x" * INLINE_LIMIT)
    assert must_be_blob("text/plain", "é" * (INLINE_LIMIT // 2))
    assert not must_be_blob("text/plain", "é" * (INLINE_LIMIT // 2 - 1))
    assert must_be_blob("image/png", "")
    assert must_be_blob("text/plain", b"")


def test_base64_is_stored_as_the_bytes_it_means() -> None:
    blobs = Blobs()

    ref = store("image/png", PNG, blobs.place)

    assert blobs.fetch(ref["blob"]) == bytes(range(256))
    assert ref.keys() == {"blob", "size"}
    assert unpack("image/png", ref, blobs.fetch) == bytes(range(256))


@pytest.mark.parametrize("text", [PNG + "\n", base64.encodebytes(bytes(range(256))).decode(), "", "not base64!", "YQ"])
def test_a_file_gets_its_base64_back_as_it_wrote_it(text: str) -> None:
    blobs = Blobs()

    ref = store("image/png", text, blobs.place)

    assert to_nbformat("image/png", ref, blobs.fetch) == text


def test_what_is_no_base64_is_kept_as_text() -> None:
    blobs = Blobs()

    ref = store("image/png", "caf\xe9?", blobs.place)

    assert unpack("image/png", ref, blobs.fetch) == "caf\xe9?"


def test_json_is_stored_as_json_text_with_null_for_nan() -> None:
    blobs = Blobs()

    ref = store("application/json", {"a": [1, math.nan]}, blobs.place)

    assert json.loads(ref["inline"]) == {"a": [1, None]}
    assert unpack("application/json", ref, blobs.fetch) == {"a": [1, None]}


def test_a_value_under_a_text_type_is_kept_as_json() -> None:
    blobs = Blobs()

    ref = store("text/plain", {"a": 1}, blobs.place)

    assert unpack("text/plain", ref, blobs.fetch) == {"a": 1}
    assert to_nbformat("text/plain", ref, blobs.fetch) == '{"a":1}'


def test_lines_under_a_text_type_are_joined() -> None:
    blobs = Blobs()

    assert to_nbformat("text/html", store("text/html", ["<b>\n", "x"], blobs.place), blobs.fetch) == "<b>\nx"


MIMES = st.sampled_from(["text/plain", "image/svg+xml", "image/png", "application/pdf", "x", ""])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.binary().map(
    lambda data: base64.b64encode(data).decode()
)


@settings(deadline=None)
@given(MIMES, TEXTS, st.booleans())
def test_any_string_comes_back_to_the_file(mime: str, text: str, large: bool) -> None:
    text = text * 2000 if large and len(text) % 4 else text
    blobs = Blobs()

    ref = store(mime, text, blobs.place)

    found: Any = to_nbformat(mime, ref, blobs.fetch)
    # Base64 is compared as what it means: whitespace inside it is the writer's.
    assert found == text or "".join(text.split()) == found.strip()
