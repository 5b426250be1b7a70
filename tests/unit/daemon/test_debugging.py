"""One client debugs at a time."""

from __future__ import annotations

from typing import Any, cast

import pytest

from runtimed.daemon.debugging import Debugger, refused

ONE, TWO = cast("Any", "one"), cast("Any", "two")  # clients, of which nothing is asked here


def test_it_is_the_first_ones_until_that_one_is_done() -> None:
    debugger = Debugger()

    assert debugger.admits(ONE, {"command": "initialize"})
    assert not debugger.admits(TWO, {"command": "initialize"})
    assert debugger.admits(ONE, {"command": "disconnect"})

    assert debugger.admits(TWO, {"command": "initialize"})
    assert debugger.holder is TWO


def test_anybody_may_ask_how_it_stands() -> None:
    debugger = Debugger()
    debugger.admits(ONE, {"command": "attach"})

    assert debugger.admits(TWO, {"command": "debugInfo"})
    assert debugger.holder is ONE


@pytest.mark.parametrize(("leaves", "holder"), [(TWO, ONE), (ONE, None), (None, None)])
def test_it_is_free_when_its_holder_leaves_or_the_kernel_ends(leaves: Any, holder: Any) -> None:
    debugger = Debugger()
    debugger.admits(ONE, {"command": "attach"})

    debugger.let_go(leaves)

    assert debugger.holder is holder


def test_who_may_not_is_answered_in_the_adapters_own_form() -> None:
    answer = refused({"type": "request", "seq": 7, "command": "attach"})

    assert (answer["type"], answer["request_seq"], answer["command"]) == ("response", 7, "attach")
    assert answer["success"] is False and "another client" in answer["message"]
