"""Real ipywidgets in a real kernel: models show in every frontend, and what one frontend does reaches all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nbformat
import pytest

from frontend import Frontend
from runtimed.client import kernels
from runtimed.outputs.widgets import STATE
from serving import Daemon

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]  # the first kernel has to build its environment


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def place(shared_daemon: Daemon) -> Iterator[Daemon]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", "ipywidgets")
        shared_daemon.start()
        yield shared_daemon


@pytest.fixture(scope="module")
async def frontend(place: Daemon) -> AsyncIterator[Frontend]:
    async with Frontend.joined(place.socket, "widgets") as found:
        assert (await found.run("import ipywidgets as w\nfrom IPython.display import display")).success
        yield found


def values(frontend: Frontend, comm_id: str) -> dict[str, Any]:
    return frontend.comms.values(comm_id)


async def test_a_model_shows_with_all_it_refers_to(frontend: Frontend):
    result = await frontend.run("slider = w.IntSlider(value=3)\nslider")

    view = result.outputs[0].data or {}
    model_id = view["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert await frontend.until(lambda: values(frontend, model_id).get("value") == 3)
    for key in ("layout", "style"):  # made before it, so that who goes by the order finds them
        child = values(frontend, model_id)[key].removeprefix("IPY_MODEL_")
        assert frontend.entry(child)["seq"] < frontend.entry(model_id)["seq"]
    assert frontend.entry(model_id)["model_module"] == "@jupyter-widgets/controls"


async def test_what_the_kernel_sets_shows_and_is_no_broadcast(frontend: Frontend):
    (slider,) = frontend.named("IntSliderModel")
    frontend.broadcasts.clear()

    await frontend.run("slider.value = 7")

    assert await frontend.until(lambda: values(frontend, slider)["value"] == 7)
    assert frontend.broadcasts == []


async def test_what_a_frontend_sets_reaches_the_kernel_and_the_other_frontend(frontend: Frontend, place: Daemon):
    async with Frontend.joined(place.socket, "widgets") as other:
        (slider,) = await other.until(lambda: other.named("IntSliderModel"))
        await other.until(lambda: values(other, slider).get("value") == 7)  # who comes late has it all
        await frontend.run("seen = []\nslider.observe(lambda change: seen.append(change['new']), 'value')")

        other.set_value(slider, value=9)
        await frontend.until(lambda: values(frontend, slider)["value"] == 9)
        await frontend.until(lambda: frontend.broadcasts)  # the kernel's echo

        assert (await frontend.run("print(seen, slider.value)")).stdout == "[9] 9\n"


async def test_state_that_is_sent_as_a_message_shows_to_those_who_come_later(frontend: Frontend, place: Daemon):
    (slider,) = frontend.named("IntSliderModel")

    await frontend.send(slider, {"method": "update", "state": {"value": 11}, "buffer_paths": []})
    assert (await frontend.run("print(slider.value)")).stdout == "11\n"

    async with Frontend.joined(place.socket, "widgets") as late:
        assert await late.until(lambda: values(late, slider).get("value") == 11)


async def test_a_click_is_an_event_and_what_its_handler_says_is_captured(frontend: Frontend):
    await frontend.run(
        "out = w.Output()\nbutton = w.Button()\n"
        "@button.on_click\ndef clicked(_):\n    with out:\n        print('clicked')\n        button.send({'seen': 1})"
    )
    (button,), (out,) = frontend.named("ButtonModel"), frontend.named("OutputModel")

    await frontend.send(button, {"method": "custom", "content": {"event": "click"}})

    (stream,) = await frontend.until(lambda: frontend.entry(out)["outputs"])
    assert (stream["output_type"], stream["text"]) == ("stream", {"inline": "clicked\n"})
    custom = await frontend.until(
        lambda: [b for b in frontend.broadcasts if b["content"].get("data", {}).get("method") == "custom"]
    )
    assert custom[0]["content"]["data"]["content"] == {"seen": 1}


async def test_an_output_widget_takes_what_is_put_out_inside_it_and_the_kernel_is_told(frontend: Frontend):
    result = await frontend.run(
        "out = w.Output()\nprint('before')\n"
        "with out:\n    print('in', end='')\n    print('side')\n    display(5)\n    1/0\n"
        "print('after')"
    )

    out = frontend.named("OutputModel")[-1]
    assert (result.success, result.stdout) == (True, "before\nafter\n")
    kinds = [output["output_type"] for output in frontend.entry(out)["outputs"]]
    assert kinds == ["stream", "display_data", "error"]
    assert values(frontend, out)["outputs"] == frontend.entry(out)["outputs"]
    told = await frontend.run("print([o['output_type'] for o in out.outputs], out.outputs[0]['text'])")
    assert told.stdout == "['stream', 'display_data', 'error'] inside\n\n"

    await frontend.run("out.clear_output()")
    assert frontend.entry(out)["outputs"] == []
    await frontend.run("out.append_stdout('added')")
    (added,) = frontend.entry(out)["outputs"]
    assert added["text"] == {"inline": "added"}


async def test_inside_two_output_widgets_the_inner_one_takes_it(frontend: Frontend):
    await frontend.run(
        "a, b = w.Output(), w.Output()\nwith a:\n    print('a')\n    with b:\n        print('b')\n    print('a again')"
    )

    a, b = frontend.named("OutputModel")[-2:]
    assert [output["text"]["inline"] for output in frontend.entry(b)["outputs"]] == ["b\n"]
    assert "".join(output["text"]["inline"] for output in frontend.entry(a)["outputs"]).startswith("a\n")


async def test_buffers_are_blobs_and_come_back_into_the_file(frontend: Frontend, place: Daemon):
    await frontend.run("image = w.Image(value=b'\\x89PNG\\x00')")
    (image,) = frontend.named("ImageModel")
    ref = (await frontend.until(lambda: values(frontend, image)))["value"]
    content = await asyncio.to_thread(frontend.blobs.read, ref["blob"])
    assert (ref["size"], ref["media_type"], content) == (5, "application/octet-stream", b"\x89PNG\x00")

    notebook = json.loads(await asyncio.to_thread(place.client.export_notebook, "widgets"))
    nbformat.validate(notebook)
    states = notebook["metadata"]["widgets"][STATE]["state"]
    assert states[image]["buffers"] == [{"path": ["value"], "encoding": "base64", "data": "iVBORwA="}]
    (slider,) = frontend.named("IntSliderModel")
    assert (states[slider]["model_name"], states[slider]["state"]["value"]) == ("IntSliderModel", 11)
    out = next(state for state in states.values() if state["state"].get("outputs"))
    assert out["state"]["outputs"][0]["text"]


async def test_a_closed_model_is_gone_and_a_new_kernel_knows_none(frontend: Frontend):
    (slider,) = frontend.named("IntSliderModel")
    await frontend.run("slider.close()")
    assert await frontend.until(lambda: slider not in frontend.entries() and not values(frontend, slider))

    await kernels.restart(frontend)
    assert await frontend.until(lambda: not frontend.entries() and not frontend.comms.comm_ids())
