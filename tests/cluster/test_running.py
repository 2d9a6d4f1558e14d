"""What Dask's own failures become."""

from asyncio import CancelledError
from types import SimpleNamespace
from typing import Any, cast

import pytest
from distributed import KilledWorker
from distributed.comm.core import CommClosedError

from geodeeplab.cluster import running
from geodeeplab.errors import OptionError


def test_a_shard_that_kills_its_workers_is_said_to_need_memory() -> None:
    error = KilledWorker("segment", cast(Any, SimpleNamespace(address="tcp://w:1")), 3)
    with (
        pytest.raises(OptionError, match=r"several Dask workers died .* want of memory: use fewer workers"),
        running.dask_errors(),
    ):
        raise error


@pytest.mark.parametrize("error", [CancelledError("lost"), CommClosedError("lost")])
def test_a_scheduler_that_goes_away_leaves_a_run_to_resume(error: BaseException) -> None:
    words = r"the Dask scheduler is gone \(lost\): start it again, and pass `resume=True`"
    with pytest.raises(OptionError, match=words), running.dask_errors():
        raise error


def test_a_cluster_without_workers_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PATIENCE_S", 0.0)
    with pytest.raises(OptionError, match="had no worker for 0 s: start some"):
        running.wait_for_workers(cast(Any, SimpleNamespace(nthreads=dict)))
