"""Every scenario of the table, for every pair of a client and a daemon."""

from __future__ import annotations

import pytest

from interop.matrix import Place, Scenario

pytestmark = pytest.mark.timeout(600)  # the first of a pair may have to fetch the release and start its daemon


def test_scenario(scenario: Scenario, place: Place) -> None:
    scenario(place)
