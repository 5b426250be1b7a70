"""Manifests: one output as the RuntimeStateDoc keeps it, made from parts and read back whole (PROTOCOL §8.4)."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runtimed.models import Output
from runtimed.outputs.mime import (
    ContentRef,
    Fetch,
    Place,
    json_text,
    load_text,
    store,
    to_nbformat,
    unpack,
)
from runtimed.outputs.native import from_key, from_native, to_key, to_native, weight, well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

INLINE_MAX = 4 << 20  # characters of what can only lie in the document itself: peers get it in a frame, which has a cap

# What nbformat knows of each output type besides output_type; the rest is ``extra``.
_KNOWN = {
    "stream": {"name", "text"},
    "display_data": {"data", "metadata"},
    "execute_result": {"data", "metadata", "execution_count"},
    "error": {"ename", "evalue", "traceback"},
}


def display_manifest(
    output_type: str,
    output_id: str,
    data: dict[str, ContentRef],
    metadata: Mapping[str, Any],
    *,
    execution_count: int | None = None,
    display_id: str | None = None,
) -> Manifest:
    manifest: Manifest = {"output_type": output_type, "output_id": output_id, "data": data}
    if metadata:
        manifest["metadata"] = stored_metadata(metadata)
    if output_type == "execute_result":
        manifest["execution_count"] = execution_count
    if display_id is not None:
        manifest["transient"] = {"display_id": display_id}
    return manifest


def error_manifest(
    output_id: str, ename: str, evalue: str, traceback: Iterable[str], *, place: Place | None = None
) -> Manifest:
    """An error output; without ``place`` the traceback stays inline, whatever its size."""
    lines = json_text([str(line) for line in traceback])
    return {
        "output_type": "error",
        "output_id": output_id,
        "ename": _short(well_formed(ename)),
        "evalue": _short(well_formed(evalue)),
        "traceback": {"inline": lines} if place is None else place("application/json", lines),
    }


def stored_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    native: dict[str, Any] = to_native(metadata)
    if (size := weight(native)) <= INLINE_MAX:
        return native
    log.warning("the metadata of an output is left out: its %d characters are more than a peer can be sent", size)
    return {}


def _short(text: str) -> str:
    return text if len(text) <= INLINE_MAX else f"{text[:INLINE_MAX]}... [{len(text)} characters; see the traceback]"


def store_bundle(data: Mapping[str, Any], place: Place) -> dict[str, ContentRef]:
    return {to_key(mime): store(mime, value, place) for mime, value in data.items()}


def resolve(manifest: Mapping[str, Any], fetch: Fetch) -> Output:
    """The output with its content in hand; ``fetch`` brings the bytes of a blob."""
    kind = manifest["output_type"]
    if kind == "stream":
        return Output(output_type=kind, name=manifest["name"], text=load_text(manifest["text"], fetch))
    if kind == "error":
        return Output(
            output_type=kind,
            ename=manifest["ename"],
            evalue=manifest["evalue"],
            traceback=json.loads(load_text(manifest["traceback"], fetch)),
        )
    return Output(
        output_type=kind,
        data={from_key(mime): unpack(from_key(mime), ref, fetch) for mime, ref in (manifest.get("data") or {}).items()},
        execution_count=manifest.get("execution_count"),
    )


def join_streams(outputs: Iterable[Output]) -> list[Output]:
    """Consecutive outputs of one stream are one output to whoever reads them."""
    joined: list[Output] = []
    texts: list[str] = []
    for output in outputs:
        follows = joined and output.output_type == "stream" == joined[-1].output_type
        if follows and output.name == joined[-1].name:
            texts.append(output.text or "")
            continue
        _close(joined, texts)
        joined.append(output)
        texts = [output.text or ""]
    _close(joined, texts)
    return joined


def _close(joined: list[Output], texts: list[str]) -> None:
    if len(texts) > 1:
        joined[-1] = replace(joined[-1], text="".join(texts))


def blob_hashes(manifest: Mapping[str, Any]) -> set[str]:
    """The blobs this output needs."""
    refs = [manifest.get(key) for key in ("text", "traceback", "rich")]
    refs += (manifest.get("data") or {}).values()
    return {ref["blob"] for ref in refs if isinstance(ref, dict) and "blob" in ref}


def from_nbformat(output: Mapping[str, Any], output_id: str, place: Place) -> Manifest:
    """The manifest of an output of a file; keys nbformat does not know are kept."""
    manifest = _from_known(output, output_id, place)
    known = _KNOWN.get(output["output_type"], set())
    extra = {key: value for key, value in output.items() if key not in known and key != "output_type"}
    if extra:
        manifest["extra"] = to_native(extra)
    return manifest


def _from_known(output: Mapping[str, Any], output_id: str, place: Place) -> Manifest:
    kind = output["output_type"]
    if kind == "stream":
        text = place("text/plain", well_formed(output["text"]))
        return {"output_type": kind, "output_id": output_id, "name": well_formed(output["name"]), "text": text}
    if kind == "error":
        return error_manifest(output_id, output["ename"], output["evalue"], output["traceback"], place=place)
    if kind in ("display_data", "execute_result"):
        data = store_bundle(output["data"], place)
        count = output.get("execution_count")
        return display_manifest(kind, output_id, data, output["metadata"], execution_count=count)
    return {"output_type": kind, "output_id": output_id}


def to_nbformat_outputs(manifests: Iterable[Mapping[str, Any]], fetch: Fetch) -> list[dict[str, Any]]:
    """The outputs as a file has them: streams joined, binary content in base64."""
    outputs: list[dict[str, Any]] = []
    for manifest in manifests:
        output = _to_nbformat(manifest, fetch)
        if outputs and _continues(outputs[-1], output):
            outputs[-1]["text"].append(output["text"])
        else:
            outputs.append({**output, "text": [output["text"]]} if "text" in output else output)
    for output in outputs:
        if output["output_type"] == "stream":
            output["text"] = "".join(output["text"])
    return outputs


def _continues(last: Mapping[str, Any], output: Mapping[str, Any]) -> bool:
    streams = last["output_type"] == "stream" == output["output_type"]
    return streams and last["name"] == output["name"] and last.keys() == output.keys()


def _to_nbformat(manifest: Mapping[str, Any], fetch: Fetch) -> dict[str, Any]:
    kind = manifest["output_type"]
    extra = from_native(manifest.get("extra") or {})
    if kind == "stream":
        known = {"name": manifest["name"], "text": load_text(manifest["text"], fetch)}
    elif kind == "error":
        traceback = json.loads(load_text(manifest["traceback"], fetch))
        known = {"ename": manifest["ename"], "evalue": manifest["evalue"], "traceback": traceback}
    elif kind in ("display_data", "execute_result"):
        known = _display(manifest, fetch)
    else:
        known = {}
    return {**extra, **known, "output_type": kind}


def _display(manifest: Mapping[str, Any], fetch: Fetch) -> dict[str, Any]:
    data = {
        from_key(mime): to_nbformat(from_key(mime), ref, fetch) for mime, ref in (manifest.get("data") or {}).items()
    }
    known = {"data": data, "metadata": from_native(manifest.get("metadata") or {})}
    if manifest["output_type"] == "execute_result":
        known["execution_count"] = manifest.get("execution_count")
    return known
