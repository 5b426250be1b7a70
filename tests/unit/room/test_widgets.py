"""The kernel's models show in the documents, and what a frontend writes there reaches the kernel."""

from __future__ import annotations

from typing import Any

import pytest

from runtimed.docs import topology
from runtimed.docs.comms import CommsDoc
from runtimed.room import effects as do
from runtimed.room import events
from runtimed.wire import requests as wire
from runtimed.wire.frames import FrameType
from unit.room.network import Network, PeerAtHome


@pytest.fixture
def network() -> Network:
    made = Network()
    peer = made.join("ann")
    peer.ask(wire.LaunchKernel(kernel_type="python", env_source="auto"))
    made.happen(events.KernelReady("python", "uv:prewarmed", {"name": "python"}, ()))
    made.settle()
    return made


def report(network: Network, *items: events.WidgetReport) -> None:
    network.happen(events.Reported(items))
    network.settle()


def comms(peer: PeerAtHome) -> CommsDoc:
    return CommsDoc(peer.replications[FrameType.COMMS_DOC_SYNC]._document)


def told(network: Network) -> list[tuple[str, dict[str, Any]]]:
    """Comm id and state of what the kernel was sent, in order."""
    contents = [effect.message["content"] for effect in network.asked if isinstance(effect, do.SendComm)]
    return [(content["comm_id"], content["data"]["state"]) for content in contents]


def opened(network: Network, comm_id: str, **state: Any) -> None:
    report(network, events.CommOpened(comm_id, "jupyter.widget", state))


def test_models_come_in_the_order_in_which_they_were_made(network: Network):
    opened(network, "b", _model_name="LayoutModel")
    opened(network, "a", _model_name="IntSliderModel", value=1)

    runtime = network.peers["ann"].runtime.document
    assert topology.next_seq(runtime) == 2
    assert topology.comm_ids(runtime) == ["a", "b"]
    assert comms(network.join("late")).values("a") == {"_model_name": "IntSliderModel", "value": 1}


def test_of_many_values_in_one_flush_the_last_is_written(network: Network):
    opened(network, "a", value=0)
    before = network.room.documents.comms.document.end

    report(network, *(events.CommUpdated("a", {"value": n, f"k{n % 2}": n}) for n in range(100)))

    assert network.room.documents.comms.values("a") == {"value": 99, "k0": 98, "k1": 99}
    assert network.room.documents.comms.document.end == before + 1


def test_a_frontends_write_reaches_the_kernel_with_what_it_changed_alone(network: Network):
    opened(network, "a", value=1, other=2)
    opened(network, "b", value=1)
    doc = comms(network.peers["ann"])

    doc.document.commit(lambda tx: doc.set_values(tx, "a", {"value": 9}))
    network.settle()

    assert told(network) == [("a", {"value": 9})]


def test_a_write_inside_a_value_reaches_the_kernel_as_the_whole_value(network: Network):
    opened(network, "a", value={"x": [1, 2]}, other=2)
    doc = comms(network.peers["ann"])

    doc.document.commit(lambda tx: doc.set_values(tx, "a", {"value": {"x": [1, 3]}}))
    network.settle()

    assert told(network) == [("a", {"value": {"x": [1, 3]}})]


def test_what_lies_in_a_blob_is_not_sent_back(network: Network):
    blob = {"blob": "0" * 64, "size": 1, "media_type": "application/octet-stream"}
    opened(network, "a", image=blob, value={"x": 1})
    doc = comms(network.peers["ann"])

    doc.document.commit(lambda tx: doc.set_values(tx, "a", {"value": {"x": 2}}))
    network.settle()

    assert told(network) == [("a", {"value": {"x": 2}})]


def test_without_a_kernel_nobody_is_told(network: Network):
    opened(network, "a", value=1)
    network.happen(events.KernelLost("gone"))
    doc = comms(network.peers["ann"])

    doc.document.commit(lambda tx: doc.set_values(tx, "a", {"value": 9}))
    network.settle()

    assert told(network) == []
    assert network.room.documents.comms.values("a") == {"value": 9}


def test_an_output_widgets_content_is_in_both_documents_and_the_kernel_is_told(network: Network):
    manifest = {"output_type": "stream", "output_id": "o", "name": "stdout", "text": {"inline": "x"}}
    opened(network, "a", _model_name="OutputModel", msg_id="")
    stream = {"output_type": "stream", "name": "stdout", "text": "x"}

    report(network, events.CommUpdated("a", {"msg_id": "e"}), events.WidgetOutputs("a", (manifest,), [stream]))

    assert told(network) == [("a", {"outputs": [stream]})]
    assert network.room.documents.comms.values("a")["outputs"] == [manifest]
    entry = network.peers["ann"].runtime._root_dict("comms")["a"]
    assert (entry["outputs"], entry["capture_msg_id"]) == ([manifest], "e")


def test_a_capture_that_begins_and_ends_in_one_flush_has_ended(network: Network):
    opened(network, "a", _model_name="OutputModel", msg_id="")

    report(network, events.CommUpdated("a", {"msg_id": "e"}), events.CommUpdated("a", {"msg_id": ""}))

    assert network.room.documents.comms.values("a")["msg_id"] == ""
    assert network.peers["ann"].runtime._root_dict("comms")["a"]["capture_msg_id"] == ""


def test_a_closed_widget_is_gone_and_a_new_kernel_has_none(network: Network):
    opened(network, "a", value=1)
    opened(network, "b", value=1)
    report(network, events.CommClosed("a"))
    assert comms(network.peers["ann"]).comm_ids() == ["b"]

    network.happen(events.KernelLost("gone"))
    network.peers["ann"].ask(wire.LaunchKernel(kernel_type="python", env_source="auto"))
    assert comms(network.peers["ann"]).comm_ids() == ["b"]  # to be looked at and saved until there is another
    network.happen(events.KernelReady("python", "uv:prewarmed", {"name": "python"}, ()))
    network.settle()

    assert comms(network.peers["ann"]).comm_ids() == []
    assert topology.comm_ids(network.peers["ann"].runtime.document) == []
