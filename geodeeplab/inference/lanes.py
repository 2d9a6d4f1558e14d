"""Forward passes side by side: a few lanes, each with threads of its own, results in the order of the input."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_lanes(
    function: Callable[[Item], Result], items: Iterable[Item], *, lanes: int, threads: int
) -> Iterator[Result]:
    """Yield `function(item)` of each item, in order, computed in `lanes` threads at once.

    At most one item waits for a lane, and at most `lanes` results wait for the consumer.

    Args:
        function: called in a lane's thread, or in the caller's where there is only one lane.
        items: taken from the caller's thread.
        lanes: how many at once.
        threads: threads that torch's operators use in each lane, and in the caller's thread meanwhile.
    """
    with torch_threads(threads):
        if lanes == 1:
            yield from map(function, items)
            return
        running: deque[Future[Result]] = deque()
        pool = ThreadPoolExecutor(lanes, "lane", initializer=torch.set_num_threads, initargs=(threads,))
        try:
            for item in items:
                running.append(pool.submit(function, item))
                if len(running) > lanes:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch's operators use so many threads in this thread, then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
