"""Widgets: a model that the kernel makes is in the room's comms, for who was there and for who comes late."""

from __future__ import annotations

from interop.clients import Seat
from interop.matrix import Place, scenario

MADE_WITH_A_SLIDER = {"IntSliderModel", "LayoutModel", "SliderStyleModel"}
WITHOUT_COMMS_DOC = ("2.5.1",)  # it looks for values where nteract's daemons have left none since the next release


def value(seat: Seat) -> object:
    return seat.widgets()["IntSliderModel"]["state"].get("value")


@scenario("widgets", quick=False)
def a_widget_is_seen_by_who_is_there_and_by_who_comes_late(place: Place) -> None:
    seat = place.room("ipywidgets")
    seat.runs("import ipywidgets\nslider = ipywidgets.IntSlider(value=3)\nslider")
    late = place.second(seat)

    for each in (seat, late):
        each.sees(lambda seat: seat.widgets().keys() >= MADE_WITH_A_SLIDER)
        assert {model["target"] for model in each.widgets().values()} == {"jupyter.widget"}
    if place.pair.client not in WITHOUT_COMMS_DOC:
        late.sees(lambda seat: value(seat) == 3)
        late.runs("slider.value = 7")
        seat.sees(lambda seat: value(seat) == 7)
