"""Forward passes side by side: a few lanes, each with threads of its own, results in the order of the input."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lanes(Generic[Item, Result]):
    """Calls of a function in `lanes` threads at once."""

    def __init__(
        self, function: Callable[[Item], Result], *, lanes: int, threads: int, is_busy: Callable[[], bool] | None = None
    ) -> None:
        """Say what is called, and where.

        Args:
            function: called in a lane's thread, or in the caller's where there is only one lane.
            lanes: how many at once.
            threads: threads that torch's operators use in each lane, and in the caller's thread meanwhile.
            is_busy: tells whether a device still works on calls that have returned.
        """
        self.starved_s = 0.0
        """Seconds for which nothing was computed because the next item was not there."""
        self._function, self._lanes, self._threads = function, lanes, threads
        self._is_busy = is_busy or (lambda: False)
        self._last_end = 0.0

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Yield the function of each item, in order.

        At most one item waits for a lane, and at most as many results as lanes wait for the consumer. Items are taken
        from the caller's thread.
        """
        with torch_threads(self._threads):
            if self._lanes == 1:
                yield from map(self._call, self._taken(items, ()))
                return
            running: deque[Future[Result]] = deque()
            pool = ThreadPoolExecutor(self._lanes, "lane", initializer=torch.set_num_threads, initargs=(self._threads,))
            try:
                for item in self._taken(items, running):
                    running.append(pool.submit(self._call, item))
                    if len(running) > self._lanes:
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _taken(self, items: Iterable[Item], running: Iterable[Future[Result]]) -> Iterator[Item]:
        """Take items one by one and book the time for which all lanes waited for one."""
        iterator = iter(items)
        while True:
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            if all(future.done() for future in running) and not self._is_busy():
                self.starved_s += time.perf_counter() - max(began, self._last_end)
            yield item

    def _call(self, item: Item) -> Result:
        try:
            return self._function(item)
        finally:
            self._last_end = time.perf_counter()


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch's operators use so many threads in this thread, then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
