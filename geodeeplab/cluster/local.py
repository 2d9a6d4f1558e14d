"""Dask workers on this machine: processes with pinned threads, started again when they die.

They are started as programs of their own, so threads and GPUs are settled before torch is loaded, and a script needs no
`if __name__ == "__main__"`, which Python's own way to start processes asks for. The scheduler is in this process.

Whoever reaches a Dask scheduler can run code in it. So all connections are encrypted and show one certificate, which is
made for the run: this process holds its key, and a folder that only this user can read.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, TYPE_CHECKING

import torch

import geodeeplab
from geodeeplab.errors import OptionError

if TYPE_CHECKING:
    from distributed import LocalCluster, Security

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
TLS_FILES = {"--tls-ca-file": "ca.pem", "--tls-cert": "cert.pem", "--tls-key": "key.pem"}
WATCHED_LESS = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
}
"""A worker without a dashboard that looks at itself a hundred times a second takes 4 % of a core for nothing."""
NO_DASHBOARD = "127.0.0.1:0"
"""Without a dashboard Dask serves its health all the same: to this machine only, and on a port that is free."""
START_S = 120.0
"""Seconds within which a worker has to be there."""
END_S = 5.0
"""Seconds that workers and scheduler have to end by themselves."""
MOST_RESTARTS = 3
"""How often, for each worker on average, a dead one is replaced in a run."""


class LocalWorkers:
    """A Dask scheduler in this process and workers beside it; a context manager."""

    def __init__(self, count: int, *, threads: int) -> None:
        """Say how many, and on how many threads each runs the network."""
        self.count, self.threads = count, threads
        self._gpus = visible_gpus()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._restarts = 0
        self._cluster: LocalCluster | None = None
        self._security: Security | None = None

    def __enter__(self) -> "LocalWorkers":
        from distributed import LocalCluster, Security

        if find_spec("cryptography") is None:
            raise OptionError("local Dask workers need the package cryptography: pip install 'geodeeplab[dask]'")
        self._folder = TemporaryDirectory(prefix="geodeeplab-dask-", ignore_cleanup_errors=True)
        self._log: IO[bytes] = open(Path(self._folder.name) / "workers.log", "ab")
        try:
            self._security = Security.temporary()
            self._write_certificate()
            self._cluster = LocalCluster(
                n_workers=0,
                processes=True,  # so that it listens on TCP
                host="127.0.0.1",
                protocol="tls://",
                security=self._security,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": NO_DASHBOARD},
                silence_logs=50,  # of a dead worker the shard is computed again: no reason for a screenful
            )
            self._processes = [self._start(index) for index in range(self.count)]
            self._wait()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        assert self._cluster is not None
        return str(self._cluster.scheduler_address)

    @property
    def security(self) -> "Security":
        """What a client needs to connect."""
        assert self._security is not None
        return self._security

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        return [process.pid for process in self._processes]

    def revive(self) -> None:
        """Replace workers that have died.

        Raises:
            OptionError: if that happens again and again.
        """
        for index, process in enumerate(self._processes):
            if process.poll() is None:
                continue
            self._restarts += 1
            if self._restarts > MOST_RESTARTS * self.count:
                raise OptionError(f"{self._ended(process)}; {self._restarts} have: use fewer workers")
            assert process.stdin is not None
            process.stdin.close()
            self._processes[index] = self._start(index)

    def forgive(self) -> None:
        """Count those that die from now on only: work has been done since."""
        self._restarts = 0

    def _start(self, index: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address]
        command += ["--nthreads", "1", "--no-nanny", "--memory-limit", "0"]
        command += ["--no-dashboard", "--dashboard-address", NO_DASHBOARD]
        command += ["--host", "127.0.0.1", "--death-timeout", str(int(START_S))]
        command += ["--local-directory", self._folder.name, "--protocol", "tls"]
        for option, name in TLS_FILES.items():
            command += [option, str(Path(self._folder.name) / name)]
        command += ["--preload", "geodeeplab.cluster.preload", "--preload", "geodeeplab.cluster.worker"]
        return subprocess.Popen(
            command,
            env=worker_environment(self.threads, self._gpus, index),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is this process's matter
        )

    def _write_certificate(self) -> None:
        """Write the run's certificate and key where workers read them; `TemporaryDirectory` made the folder private."""
        assert self._security is not None
        parts = self._security.get_tls_config_for_role("worker")
        for name, key in (("ca.pem", "ca_file"), ("key.pem", "key"), ("cert.pem", "cert")):
            path = Path(self._folder.name) / name
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(parts[key])

    def _wait(self) -> None:
        """Wait until all workers are there."""
        assert self._cluster is not None
        deadline = time.monotonic() + START_S
        while len(self._cluster.scheduler_info["workers"]) < self.count:
            dead = [process for process in self._processes if process.poll() is not None]
            if dead:
                raise OptionError(f"{self._ended(dead[0])}; it says: {self._last_words()}")
            if time.monotonic() > deadline:
                raise OptionError(f"{self.count} Dask workers did not start within {START_S:g} s: use fewer")
            time.sleep(0.02)

    def _ended(self, process: "subprocess.Popen[bytes]") -> str:
        status = process.returncode
        reason = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"a Dask worker {reason}{', most likely for want of memory' if status == -9 else ''}"

    def _last_words(self) -> str:
        lines = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing"

    def _close(self) -> None:
        """End workers and scheduler; workers that compute are not waited for."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        if self._cluster is not None:
            self._cluster.close(timeout=END_S)
        deadline = time.monotonic() + END_S
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.wait()
        self._processes, self._cluster = [], None
        self._log.close()
        self._folder.cleanup()


def visible_gpus() -> list[str]:
    """Give the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch.cuda.is_available():
        return []
    return named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]


def worker_environment(threads: int, gpus: list[str], index: int) -> dict[str, str]:
    """Give the environment of a worker: this process's, with its threads, its GPU, and this package on the path."""
    home = str(Path(geodeeplab.__file__).parents[1])
    paths = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    pinned = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": os.pathsep.join(paths)}
    if gpus:
        pinned["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    return {**WATCHED_LESS, **os.environ, **pinned}
