"""Workers on this machine."""

import gc
import os
from pathlib import Path

import pytest

import geodeeplab
from geodeeplab.cluster import dask, local
from geodeeplab.cluster.local import LocalWorkers, worker_environment
from geodeeplab.errors import OptionError


def test_threads_a_gpu_and_the_package_are_settled_before_a_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    found = [worker_environment(3, ["5", "7"], index) for index in range(3)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["5", "7", "5"]
    assert {one["OMP_NUM_THREADS"] for one in found} == {"3"}
    home = Path(geodeeplab.__file__).parents[1]
    assert found[0]["PYTHONPATH"] == os.pathsep.join([str(home), "elsewhere"])


def test_workers_look_at_themselves_less_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"
    monkeypatch.delenv(name, raising=False)
    assert worker_environment(1, [], 0)[name] == "False"
    monkeypatch.setenv(name, "True")
    assert worker_environment(1, [], 0)[name] == "True"


def test_without_gpus_nothing_is_said_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment(1, [], 0)


def test_gpus_that_the_user_chose_are_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-abc")
    assert local.visible_gpus() == ["3", "GPU-abc"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert local.visible_gpus() == []


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(OptionError, match="a Dask worker ended with status 1; it says: nothing"):
        LocalWorkers(1, threads=1).__enter__()


def test_workers_that_die_again_and_again_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    monkeypatch.setattr(LocalWorkers, "_wait", lambda self: None)
    with LocalWorkers(1, threads=1) as workers:
        for _ in range(local.MOST_RESTARTS):
            workers._processes[0].wait()
            workers.revive()
        workers._processes[0].wait()
        with pytest.raises(OptionError, match="ended with status 1; 4 have: use fewer workers"):
            workers.revive()


def test_only_who_has_the_certificate_of_the_run_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the scheduler alone: its workers are started with the same certificate.

    Who does not get in leaves no open client: closed by the garbage collector in the middle of the next one's start, it
    would wait for a lock for ever.
    """
    from distributed import Client, Security

    monkeypatch.setattr(dask, "CONNECT_S", 5)
    with LocalWorkers(0, threads=1) as workers:
        assert workers.address.startswith("tls://127.0.0.1:")
        with dask._reach(workers.address, workers.security) as client:
            assert client.run_on_scheduler(os.getpid) == os.getpid()
        for other in (None, Security.temporary()):
            with pytest.raises(OptionError, match="no Dask scheduler answers"), dask._reach(workers.address, other):
                pass
            assert "connecting" not in {one.status for one in gc.get_objects() if type(one) is Client}
        folder = Path(workers._folder.name)
        assert folder.stat().st_mode & 0o077 == 0
        assert {path.name: path.stat().st_mode & 0o777 for path in folder.glob("*.pem")} == dict.fromkeys(
            ("ca.pem", "cert.pem", "key.pem"), 0o600
        )
    assert not folder.exists()
