"""The simulation of many scenes on many workers: what can be told without it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scale_out_model import Cluster, Scene, share_fairly, simulate

SCENE = Scene(open_s=1, segment_s=8, finish_s=2, read_bytes=80, written_bytes=10)
IDEAL = Cluster(
    read_rate=1e9, write_rate=1e9, worker_rate=10, start_s=0, start_bytes=0, dispatch_s=0, spread=0, slow_share=0,
    deaths_per_hour=0,
)  # fmt: skip


@pytest.mark.parametrize(("scenes", "workers"), [(1, 1), (7, 1), (7, 3), (3, 7)])
def test_without_trouble_it_is_a_division(scenes: int, workers: int) -> None:
    outcome = simulate(SCENE, IDEAL, scenes=scenes, workers=workers)
    assert outcome.seconds == pytest.approx(-(-scenes // workers) * 12, rel=1e-4)
    assert sum(outcome.spent.values()) == pytest.approx(workers * outcome.seconds, rel=1e-4)
    assert outcome.spent["computing"] == pytest.approx(8 * scenes, rel=1e-4)


def test_storage_that_is_slow_is_the_limit() -> None:
    outcome = simulate(SCENE, replace(IDEAL, read_rate=20), scenes=40, workers=20)
    assert outcome.seconds >= 40 * 80 / 20
    assert outcome.share("waiting for storage") > 0.5


def test_a_scheduler_that_is_slow_is_the_limit() -> None:
    outcome = simulate(SCENE, replace(IDEAL, dispatch_s=2, dispatch_s_per_worker=0.1), scenes=40, workers=20)
    assert outcome.seconds == pytest.approx(40 * 4 + 12, rel=1e-3)


def test_slow_and_lost_workers_cost_time_and_all_is_repeated() -> None:
    trouble = replace(IDEAL, slow_share=0.25, spread=0.2, deaths_per_hour=100, start_s=3)
    one, again = (simulate(SCENE, trouble, scenes=40, workers=4) for _ in range(2))
    assert one == again
    assert one.seconds > 120
    assert one.spent["starting"] > 4 * 3


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=20), st.floats(0.1, 500))
def test_shares_are_fair(wanted: list[float], capacity: float) -> None:
    got = share_fairly(np.array(wanted), capacity)
    assert (got <= np.array(wanted) + 1e-9).all()
    assert got.sum() == pytest.approx(min(capacity, sum(wanted)))
    less = got < np.array(wanted) - 1e-9
    assert not less.any() or got[less].min() >= got.max() - 1e-6
