"""A simulation of many scenes on many workers: discrete events, with bandwidths shared fairly between events.

A worker starts (reads the environment, loads it), then takes scene after scene from a scheduler that serves one request
at a time. A scene is opened, segmented, finished and written. While it is segmented it is read, and goes at the slower
of the two: what its cores give, and its share of the storage. Some workers are slow, each scene takes a little more or
less, and some lose their worker half-way: another one starts and goes on from what is kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CAUSES = (
    "computing",
    "finishing",
    "writing",
    "waiting for storage",
    "starting",
    "opening",
    "scheduler",
    "idle at the end",
)
"""What workers spend their time with."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one scene costs on one worker."""

    open_s: float
    """Seconds to open it and to build the plan."""
    segment_s: float
    """Seconds of its pixels where reading never holds them up."""
    finish_s: float
    """Seconds from the last tile to outputs that can be renamed."""
    read_bytes: float
    """What is read of it."""
    written_bytes: float
    """What is written."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What all share, and what goes wrong."""

    read_rate: float
    """Bytes a second that the storage gives to all readers."""
    write_rate: float
    """Bytes a second that it takes from all writers."""
    worker_rate: float
    """Bytes a second of one worker's network, each way."""
    start_s: float
    """Seconds to load what has been read of the environment."""
    start_bytes: float
    """Bytes of the environment that each worker reads from the storage."""
    dispatch_s: float
    """Seconds of the scheduler and the client for one scene."""
    dispatch_s_per_worker: float = 0.0
    """What each worker adds to that."""
    spread: float = 0.1
    """Standard deviation of the logarithm of a scene's time."""
    slow_share: float = 0.05
    """Workers that are slow."""
    slow_factor: float = 1.5
    """How many times as long they take."""
    deaths_per_hour: float = 0.01
    """How often a worker is lost."""
    seed: int = 0
    """Of all that is drawn."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a simulated run went."""

    workers: int
    """How many there were."""
    seconds: float
    """From the first start to the last output."""
    spent: dict[str, float]
    """Worker-seconds by cause; they add up to workers × seconds."""

    def share(self, cause: str) -> float:
        """Give the share of all worker-seconds that a cause takes."""
        return self.spent[cause] / (self.workers * self.seconds)


Phase = tuple[int, float, float]
"""What is done: the number of its cause, seconds at full speed, bytes that travel meanwhile."""
COMPUTING, FINISHING, WRITING, STORAGE, STARTING, OPENING, SCHEDULER, IDLE = range(len(CAUSES))
INSTANT_S = 1e-6
"""Less is no time."""


class _Crew:
    """Workers and their present phases, as arrays."""

    def __init__(self, workers: int) -> None:
        self.cause = np.full(workers, IDLE)
        self.full, self.volume = np.ones(workers), np.zeros(workers)
        self.left = np.full(workers, np.inf)  # of the present phase, as a share
        self.todo: list[list[Phase]] = [[] for _ in range(workers)]  # what follows it, last first

    def advance(self, worker: int) -> bool:
        """Begin a worker's next phase; False if it has none."""
        if not self.todo[worker]:
            self.cause[worker], self.volume[worker], self.left[worker] = IDLE, 0.0, np.inf
            return False
        self.cause[worker], self.full[worker], self.volume[worker] = self.todo[worker].pop()
        self.left[worker] = 1.0
        return True

    def rates(self, cluster: Cluster) -> Floats:
        """Give the share of its phase that each worker does in a second, as its cores, network and storage let it."""
        rates = 1 / self.full
        for mine, capacity in (
            (self.cause != WRITING, cluster.read_rate),
            (self.cause == WRITING, cluster.write_rate),
        ):
            flows = mine & (self.volume > 0)
            if flows.any():
                wanted = np.minimum(self.volume[flows] / self.full[flows], cluster.worker_rate)
                rates[flows] = share_fairly(wanted, capacity) / self.volume[flows]
        return rates


def simulate(scene: Scene, cluster: Cluster, *, scenes: int, workers: int) -> Outcome:
    """Run so many scenes on so many workers that all start at once.

    Law: without spread, slow workers, deaths, dispatch and start, and with storage that never holds up, n scenes on w
    workers take ceil(n / w) times the seconds of one.
    """
    rng = np.random.default_rng(cluster.seed)
    speeds = np.where(np.arange(workers) < round(cluster.slow_share * workers), cluster.slow_factor, 1.0)
    factors, losses = np.exp(rng.normal(0, cluster.spread, scenes)), rng.random((scenes, 2))
    dispatch_s = cluster.dispatch_s + cluster.dispatch_s_per_worker * workers
    spent, now, scheduler_free, taken = np.zeros(len(CAUSES)), 0.0, 0.0, 0
    crew = _Crew(workers)
    for worker in range(workers):
        crew.todo[worker] = [_start(cluster)]
        crew.advance(worker)
    while np.isfinite(crew.left).any():
        rates = crew.rates(cluster)
        step = float(np.min(crew.left / rates))
        now += step
        computed = np.where(crew.cause == COMPUTING, crew.full * rates, 1.0) * step
        spent += np.bincount(crew.cause, weights=computed, minlength=len(CAUSES))
        spent[STORAGE] += max(0.0, step * workers - float(computed.sum()))
        crew.left -= rates * step
        for worker in np.flatnonzero(crew.left <= INSTANT_S * rates).tolist():
            if not crew.todo[worker] and taken < scenes:
                scheduler_free = max(now, scheduler_free) + dispatch_s
                factor = float(factors[taken] * speeds[worker])
                crew.todo[worker] = _phases(scene, cluster, factor, scheduler_free - now, losses[taken])
                taken += 1
            crew.advance(worker)
    return Outcome(workers=workers, seconds=now, spent=dict(zip(CAUSES, spent.tolist(), strict=True)))


def _start(cluster: Cluster) -> Phase:
    return (STARTING, max(cluster.start_s, INSTANT_S), cluster.start_bytes)


def _phases(scene: Scene, cluster: Cluster, factor: float, wait_s: float, loss: Floats) -> list[Phase]:
    """List what a worker does for a scene, last first; perhaps it is lost, and another goes on from what is kept."""
    opening = (OPENING, scene.open_s * factor, 0.0)
    segment_s = scene.segment_s * factor
    parts: list[Phase] = [(COMPUTING, segment_s, scene.read_bytes)]
    if loss[0] < cluster.deaths_per_hour * segment_s / 3600:
        at = float(loss[1])
        parts = [
            (COMPUTING, segment_s * at, scene.read_bytes * at),
            _start(cluster),
            opening,
            (COMPUTING, segment_s * (1 - at), scene.read_bytes * (1 - at)),
        ]
    writing_s = scene.written_bytes / cluster.worker_rate
    after: list[Phase] = [(FINISHING, scene.finish_s * factor, 0.0), (WRITING, writing_s, scene.written_bytes)]
    phases: list[Phase] = [(SCHEDULER, wait_s, 0.0), opening, *parts, *after]
    return [phase for phase in phases if phase[1] > INSTANT_S][::-1]


def share_fairly(wanted: Floats, capacity: float) -> Floats:
    """Share a capacity: nobody gets more than wanted, and who gets less gets as much as anybody (max-min fairness)."""
    if wanted.sum() <= capacity:
        return wanted
    order = np.sort(wanted)
    before = np.concatenate([[0.0], np.cumsum(order)[:-1]])
    levels = (capacity - before) / np.arange(len(order), 0, -1)
    level = float(levels[np.argmax(order > levels)])
    fair: Floats = np.minimum(wanted, level)
    return fair
