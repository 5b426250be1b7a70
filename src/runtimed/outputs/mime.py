"""MIME types: which content is text, JSON or binary, and how each is kept without losing a byte.

Kernels and .ipynb files carry binary content as base64 text and JSON content as values; blobs
carry bytes, manifests carry text. ``pack`` goes from the former to the latter, ``unpack`` to what
a Python caller wants, ``to_nbformat`` back to what a file wants. A ``ContentRef`` says where the
packed content lies: ``{"inline": text}`` or ``{"blob": sha256, "size": n}``; a third key, ``form``,
is there only when the content could otherwise not be given back as it came.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from runtimed.outputs.native import definite, well_formed

INLINE_LIMIT = 1024  # bytes; from here on content goes to a blob (PROTOCOL §8.4)

ContentRef = dict[str, Any]
Place = Callable[[str, "str | bytes"], ContentRef]
Fetch = Callable[[str], bytes]

# application/* is binary but for these (notebook-doc/src/mime.rs).
_TEXT_APPLICATIONS = frozenset(
    f"application/{name}"
    for name in (
        "ecmascript",
        "graphql",
        "javascript",
        "json",
        "mathml+xml",
        "sql",
        "x-latex",
        "x-tex",
        "xhtml+xml",
        "xml",
    )
)

# Forms: how packed content differs from what its type promises.
TEXT = "text"  # a binary type whose content is no base64: kept as it came
JSON = "json"  # a text type whose content is no string: kept as JSON text
LINE = "line"  # base64 that ended with a newline (IPython before 8)
LINES = "lines"  # base64 in lines of 76 (base64.encodebytes)


class Packed(NamedTuple):
    value: str | bytes
    form: str | None = None


def is_binary(mime: str) -> bool:
    kind = mime.partition(";")[0].strip().lower()
    if kind.startswith(("audio/", "video/")):
        return True
    if kind.startswith("image/"):
        return not kind.endswith("+xml")
    if kind.startswith("application/"):
        return kind not in _TEXT_APPLICATIONS and not kind.endswith(("+json", ".json", "+xml"))
    return False


def is_json(mime: str) -> bool:
    """Whether nbformat lets the content be any JSON value (its schema's pattern, case and all)."""
    return mime == "application/json" or (mime.startswith("application/") and mime.endswith("+json"))


def must_be_blob(mime: str, value: str | bytes) -> bool:
    if isinstance(value, bytes) or is_binary(mime):
        return True
    return len(value) >= INLINE_LIMIT or (not value.isascii() and len(value.encode()) >= INLINE_LIMIT)


def json_text(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:  # NaN: JSON has no name for it
        text = json.dumps(definite(value), ensure_ascii=False, separators=(",", ":"))
    return well_formed(text)


def pack(mime: str, value: Any) -> Packed:
    """Content as a kernel or a file carries it, as it is stored."""
    if is_json(mime):
        return Packed(json_text(value))
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    if not isinstance(value, str):
        return Packed(json_text(value), JSON)
    if is_binary(mime):
        return _pack_binary(value)
    return Packed(well_formed(value))


def _pack_binary(text: str) -> Packed:
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return Packed(well_formed(text), TEXT)
    if text and not data:
        return Packed(text, TEXT)  # blanks say nothing in base64, and are kept
    if text == _base64(data, None):
        return Packed(data)
    form = next((form for form in (LINE, LINES) if text == _base64(data, form)), None)
    return Packed(data, form)


def _base64(data: bytes, form: str | None) -> str:
    if form == LINES:
        return base64.encodebytes(data).decode("ascii")
    return base64.b64encode(data).decode("ascii") + ("\n" if form == LINE else "")


def store(mime: str, value: Any, place: Place) -> ContentRef:
    """Pack the content, put it where ``place`` says, and tell where that is."""
    packed = pack(mime, value)
    ref = place(mime, packed.value)
    return ref if packed.form is None else {**ref, "form": packed.form}


def load(ref: ContentRef, fetch: Fetch) -> str | bytes:
    """The stored content: str when it was inline, bytes when it was a blob."""
    if "inline" in ref:
        return str(ref["inline"])
    return fetch(ref["blob"])


def load_text(ref: ContentRef, fetch: Fetch) -> str:
    return _text(load(ref, fetch))


def unpack(mime: str, ref: ContentRef, fetch: Fetch) -> Any:
    """What a Python caller wants: str for text, bytes for binary, the value for JSON."""
    raw = load(ref, fetch)
    form = ref.get("form")
    if form == JSON or is_json(mime):
        return json.loads(_text(raw))
    if form == TEXT or not is_binary(mime):
        return _text(raw)
    return base64.b64decode(raw) if isinstance(raw, str) else raw


def to_nbformat(mime: str, ref: ContentRef, fetch: Fetch) -> Any:
    """What a file wants: str for text, base64 for binary, the value for JSON."""
    raw = load(ref, fetch)
    form = ref.get("form")
    if is_json(mime):
        return json.loads(_text(raw))
    if form in (TEXT, JSON) or isinstance(raw, str) or not is_binary(mime):
        return _text(raw)
    return _base64(raw, form)


def _text(raw: str | bytes) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
