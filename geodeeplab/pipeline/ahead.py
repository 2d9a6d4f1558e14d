"""Prepare what a consumer takes in a thread of its own, a little ahead."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")
AHEAD = 2


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield items that are made in another thread, at most `AHEAD` too early; close it to end that thread.

    What goes wrong there is raised here.
    """
    made: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(AHEAD)
    ended = threading.Event()

    def hand_over(item: Item | None, error: BaseException | None) -> None:
        while not ended.is_set():
            try:
                made.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for item in items:
                hand_over(item, None)
                if ended.is_set():
                    break
            else:
                hand_over(None, StopIteration())
        except BaseException as error:
            hand_over(None, error)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            assert item is not None, "an item came without an error"
            yield item
    finally:
        ended.set()
        thread.join()
        close = getattr(items, "close", None)
        if close is not None:
            close()
