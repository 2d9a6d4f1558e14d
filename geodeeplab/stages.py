"""Stages of work that run side by side, joined by bounded queues."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Stage(Generic[Item]):
    """Run an iterable in a thread of its own, at most `depth` items ahead of its consumer.

    Use it as a context manager: leaving it stops the thread and closes the iterable, however it is left. An exception
    in the thread is raised in the consumer.
    """

    def __init__(self, source: Iterable[Item], *, depth: int = 2, name: str = "stage") -> None:
        """Take the iterable; the thread starts on entering the context."""
        self.starved_s = 0.0
        """Seconds that the consumer waited for an item."""
        self.blocked_s = 0.0
        """Seconds that the thread waited for its consumer."""
        self._source = source
        self._queue: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> "Stage[Item]":
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread and wait until it has ended."""
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Let the thread and the consumer end at their next item, without waiting for either."""
        self._stop.set()

    def __iter__(self) -> Iterator[Item]:
        """Yield the items in order.

        Raises:
            BaseException: whatever the iterable raised.
        """
        while not self._stop.is_set():
            started = time.perf_counter()
            try:
                is_item, value = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            finally:
                self.starved_s += time.perf_counter() - started
            if not is_item:
                if isinstance(value, BaseException):
                    raise value
                return
            yield value  # type: ignore[misc]  # an item, by the flag beside it

    def _run(self) -> None:
        iterator = iter(self._source)
        try:
            for item in iterator:
                if not self._put((True, item)):
                    return
            self._put((False, None))
        except BaseException as error:  # handed to the consumer
            self._put((False, error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _put(self, entry: tuple[bool, Item | BaseException | None]) -> bool:
        """Hand over an entry; False if the stage was stopped meanwhile."""
        started = time.perf_counter()
        try:
            while not self._stop.is_set():
                try:
                    self._queue.put(entry, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False
        finally:
            self.blocked_s += time.perf_counter() - started
