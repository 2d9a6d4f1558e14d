"""Shards as Dask tasks: a few in flight for each worker, results as they come."""

import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from geodeeplab.cluster.scene_worker import SceneJob
from geodeeplab.cluster.worker import Job, ShardResult, segment_shard
from geodeeplab.errors import OptionError
from geodeeplab.tiling import Shard

if TYPE_CHECKING:
    from distributed import Client, Future

IN_FLIGHT = 2
"""Shards for each worker at once: one is computed, one waits, so that no worker waits for the client."""
POLL_S = 1.0
"""Seconds after which workers are counted again, at the latest."""
PATIENCE_S = 300.0
"""Seconds to wait for a first or another worker, as on a cluster that is just growing."""


J = TypeVar("J", Job, SceneJob)


def check_workers(client: "Client", job: J, check: Callable[[J], None]) -> None:
    """Let all workers check, all at once, that they reach what the run needs and would give the same pixels.

    Args:
        client: connected to the scheduler.
        job: the run.
        check: what each does.

    Raises:
        OptionError: if a worker would not, or there is none.
        GeoDeepLabError: if a worker cannot open scene or model; of the same kind as in the client.
    """
    with dask_errors():
        _check_workers(client, job, check)


def _check_workers(client: "Client", job: J, check: Callable[[J], None]) -> None:
    addresses = wait_for_workers(client)
    checks = {
        address: client.submit(check, job, workers=[address], key=f"check-{job.run_id}-{address}", pure=False)
        for address in addresses
    }
    while checks:
        done = wait_for_some(list(checks.values()))
        gone = set(checks) - set(client.nthreads())
        for address in [one for one, checked in checks.items() if checked in done]:
            checks.pop(address).result()
        for address in gone & set(checks):  # a worker that comes later is checked with its first shard
            del checks[address]


def wait_for_workers(client: "Client") -> list[str]:
    """Give the addresses of all workers, once there is one.

    Raises:
        OptionError: if none comes.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (addresses := list(client.nthreads())):
        if time.monotonic() > deadline:
            raise OptionError(f"{client!r} had no worker for {PATIENCE_S:g} s: start some")
        time.sleep(0.1)
    return addresses


def iter_results(
    client: "Client", job: Job, shards: Sequence[Shard], *, supervise: Callable[[], None]
) -> Iterator[ShardResult]:
    """Yield finished shards as they come. That of a worker that dies is computed again by another.

    Args:
        client: connected to the scheduler.
        job: the run.
        shards: what is to be done.
        supervise: called from time to time.

    Raises:
        OptionError: if a shard's workers die again and again, no worker is left, or the scheduler is gone.
        Exception: what went wrong in a shard, as it was raised there.
    """
    waiting = deque(shards)
    running: set[Future[Any]] = set()
    try:
        while waiting or running:
            with dask_errors():
                supervise()
                room = IN_FLIGHT * len(wait_for_workers(client)) - len(running)
                for _ in range(min(room, len(waiting))):
                    running.add(_submit(client, job, waiting.popleft()))
                done = wait_for_some(list(running))
            for future in done:
                running.remove(future)
                with dask_errors():
                    result: ShardResult = future.result()
                yield result
    finally:
        for future in running:
            future.cancel()


def _submit(client: "Client", job: Job, shard: Shard) -> "Future[Any]":
    key = f"segment-{job.run_id}-{shard.row_start}-{shard.col_start}"
    return client.submit(segment_shard, job, shard, key=key, pure=False)


def wait_for_some(futures: "list[Future[Any]]") -> "set[Future[Any]]":
    """Give those that are done, after `POLL_S` seconds at the latest."""
    from distributed import wait

    try:
        done: set[Future[Any]] = wait(futures, timeout=POLL_S, return_when="FIRST_COMPLETED").done
    except TimeoutError:
        return set()
    return done


@contextmanager
def dask_errors() -> Iterator[None]:
    """Say what Dask's own failures mean."""
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise OptionError(
            "several Dask workers died over the same part of the scene, most likely for want of memory: "
            "use fewer workers, a smaller `tile_size=`, or smaller shards"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise OptionError(f"the Dask scheduler is gone ({error}): start it again, and pass `resume=True`") from error
