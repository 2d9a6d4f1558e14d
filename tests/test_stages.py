import threading
from collections.abc import Iterator

import pytest

from geodeeplab.stages import Stage


def test_items_arrive_in_order() -> None:
    with Stage(range(100), depth=3) as stage:
        assert list(stage) == list(range(100))


def test_the_source_runs_in_another_thread_and_never_far_ahead() -> None:
    produced = []

    def source() -> Iterator[int]:
        for number in range(50):
            produced.append((number, threading.current_thread().name))
            yield number

    with Stage(source(), depth=2, name="reader") as stage:
        for number in stage:
            assert len(produced) <= number + 1 + 2 + 2  # the consumer's, the queue's, and the one in the thread's hands
    assert {name for _, name in produced} == {"reader"}
    assert stage.starved_s >= 0
    assert stage.blocked_s >= 0


def test_an_error_in_the_thread_is_raised_in_the_consumer() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with Stage(source()) as stage:
        items = iter(stage)
        assert next(items) == 1
        with pytest.raises(ValueError, match="broken"):
            next(items)


def test_leaving_early_stops_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    with Stage(source(), depth=1) as stage:
        next(iter(stage))
    assert closed.is_set()
    assert threading.active_count() == before
