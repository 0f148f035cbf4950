"""The stage of a test, and what each test has to show besides: that the simulator counts its sequence."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.money.site import Site, Stage


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Build a site; at the end the simulator's coverage has to have seen the sequence that the test is named
    after.
    """
    sites: list[Site] = []

    def build(*args: Any, **kwargs: Any) -> Site:
        sites.append(Site(*args, **kwargs))
        return sites[-1]

    yield build
    name = request.node.originalname.removeprefix("test_").replace("_", "-")
    assert sum(site.saw(name) for site in sites), f"the simulator's coverage does not count {name}"
