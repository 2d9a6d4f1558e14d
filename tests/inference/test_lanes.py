"""Forward passes side by side."""

import threading
from collections.abc import Iterator

import pytest
import torch

from geodeeplab.inference.lanes import Lanes, torch_threads


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_results_come_in_order_whatever_ends_first(lanes: int) -> None:
    later = threading.Event()

    def square(number: int) -> int:
        if number == 0 and lanes > 1:
            assert later.wait(10), "the second item runs while the first waits"
        if number == 1:
            later.set()
        return number * number

    assert list(Lanes(square, lanes=lanes, threads=1).map(range(7))) == [n * n for n in range(7)]


def test_never_far_ahead_of_the_consumer() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    results = Lanes[int, int](lambda number: number, lanes=2, threads=1).map(items())
    assert next(results) == 0
    assert len(taken) == 3  # as many as lanes, and one


def test_lanes_have_threads_of_their_own_and_the_setting_is_undone() -> None:
    before = torch.get_num_threads()
    seen = list(Lanes[int, int](lambda _: torch.get_num_threads(), lanes=2, threads=1).map(range(4)))
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
        list(Lanes(fail, lanes=lanes, threads=1).map(range(5)))


def test_waiting_for_items_counts_only_while_nothing_is_computed() -> None:
    is_started, may_end, taken = threading.Event(), threading.Event(), []

    def items() -> Iterator[int]:
        yield 0
        is_started.wait(10)
        taken.append("while the first is computed")
        yield 1
        may_end.set()

    def work(number: int) -> int:
        is_started.set()
        if number == 0:
            assert may_end.wait(10)
        return number

    lanes = Lanes(work, lanes=2, threads=1)
    assert list(lanes.map(items())) == [0, 1]
    before = lanes.starved_s
    slow = Lanes[int, int](lambda number: number, lanes=2, threads=1, is_busy=lambda: True)
    assert list(slow.map(range(3))) == [0, 1, 2]
    assert slow.starved_s == 0
    assert 0 <= before < 10
