"""Control: what a daemon says of itself, of its rooms and of its pool."""

from __future__ import annotations

from interop.matrix import Place, scenario


@scenario()
def answers_a_ping(place: Place) -> None:
    assert place.client.ask("ping") is True


@scenario()
def tells_of_its_pool(place: Place) -> None:
    status = place.client.ask("status")

    assert {"uv_available", "uv_warming", "conda_available", "conda_warming"} <= status.keys()
    assert all(isinstance(value, int) and value >= 0 for key, value in status.items() if key.endswith("able"))


@scenario()
def lists_its_rooms(place: Place) -> None:
    seat = place.room()
    place.second(seat)
    seat.runs("0")

    room = next(room for room in place.client.ask("rooms") if room["notebook_id"] == seat.notebook)

    assert room["active_peers"] >= 2
    assert room.get("has_kernel", room.get("has_runtime")) is True
    assert room.get("kernel_type", room.get("runtime_type")) == "python"
    assert room.get("kernel_status", room.get("status")) in ("idle", "busy") and room["env_source"].startswith("uv:")


@scenario()
def flushes_its_pool(place: Place) -> None:
    place.client.ask("flush_pool")

    assert place.client.ask("ping") is True


@scenario("connected", quick=False)
def says_who_is_connected(place: Place) -> None:
    seat = place.second(place.room())

    assert seat.connected() is True
    seat.leave()

    assert seat.connected() is False
