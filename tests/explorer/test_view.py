"""The state of the page in its address."""

import pytest

from rrm.explorer.view import View

FULL = View(
    "weights", 'arm="a b" x>1', ("job 1", "job&2"), "-accuracy", 3, ("0123abcd",), ("deadbeef",), ("seed",), True,
    "calls", "log", "linear", 1.5, 2e6, 11, ("layers.0",),
)  # fmt: skip


@pytest.mark.parametrize("view", [View(), FULL, View(group=()), View(begin=0.1, end=1 / 3)])
def test_an_address_says_the_whole_view(view):
    assert View.from_address(view.address) == view and View.of(view.state) == view


def test_the_default_has_no_address_and_the_ground_none_at_all():
    assert View().address == "" and View(dark=True).address == "" and not View.from_address("?dark=True").dark


@pytest.mark.parametrize("search", ["?page=x&smooth=&begin=nan&lines=perhaps&nonsense=1", "?begin=inf&page=-3", ""])
def test_what_no_view_has_is_left_as_it_is(search):
    assert View.from_address(search) == View()
