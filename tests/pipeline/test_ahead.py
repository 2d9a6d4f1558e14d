"""What is prepared in another thread arrives in order, with its errors, and ends with its consumer."""

import threading
from collections.abc import Iterator

import pytest

from geodeeplab.pipeline.ahead import ahead


def test_items_in_order() -> None:
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead(iter([]))) == []


def test_errors_come_after_what_was_made() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    prepared = ahead(items())
    assert next(prepared) == 1
    with pytest.raises(KeyboardInterrupt):
        next(prepared)


def test_a_consumer_that_has_enough_ends_the_thread() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    prepared = ahead(items())
    next(prepared)
    prepared.close()
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
