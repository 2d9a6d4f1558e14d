"""Forward passes side by side."""

import threading
from collections.abc import Iterator

import pytest
import torch

from geodeeplab.inference.lanes import map_in_lanes, torch_threads


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_results_come_in_order_whatever_ends_first(lanes: int) -> None:
    later = threading.Event()

    def square(number: int) -> int:
        if number == 0 and lanes > 1:
            assert later.wait(10), "the second item runs while the first waits"
        if number == 1:
            later.set()
        return number * number

    assert list(map_in_lanes(square, range(7), lanes=lanes, threads=1)) == [n * n for n in range(7)]


def test_never_far_ahead_of_the_consumer() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    results = map_in_lanes(lambda number: number, items(), lanes=2, threads=1)
    assert next(results) == 0
    assert len(taken) == 3  # as many as lanes, and one


def test_lanes_have_threads_of_their_own_and_the_setting_is_undone() -> None:
    before = torch.get_num_threads()
    seen = list(map_in_lanes(lambda _: torch.get_num_threads(), range(4), lanes=2, threads=1))
    assert seen == [1] * 4
    assert torch.get_num_threads() == before
    with torch_threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("lanes", [1, 2])
def test_an_error_surfaces(lanes: int) -> None:
    def fail(number: int) -> int:
        if number == 2:
            raise ValueError("the third")
        return number

    with pytest.raises(ValueError, match="the third"):
        list(map_in_lanes(fail, range(5), lanes=lanes, threads=1))
