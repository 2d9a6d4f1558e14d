"""`Dask`: computes a run's shards on local processes, or on a cluster that is there already."""

import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from geodeeplab.cluster.local import LocalWorkers, visible_gpus
from geodeeplab.cluster.portable import portable_model, to_portable
from geodeeplab.cluster.running import check_workers, iter_results
from geodeeplab.cluster.scene_running import iter_scene_runs, portable_call
from geodeeplab.cluster.scene_worker import SceneJob, check_scene_worker, end_scenes, pins_of_model
from geodeeplab.cluster.shards import cut_shards
from geodeeplab.cluster.worker import Job, check_worker, end_run
from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.inference import RunFacts
from geodeeplab.models import DEFAULT_MODEL, as_model
from geodeeplab.pipeline.executor import TakeBlock, Tracing
from geodeeplab.pipeline.plan import Plan
from geodeeplab.pipeline.scenes.one import SceneCall
from geodeeplab.pipeline.scenes.result import SceneRun
from geodeeplab.tiling import Shard

if TYPE_CHECKING:
    from distributed import Client, Security

LOCAL_SHARD = 8192**2
"""The most pixels of a shard on local workers, whose number is known: more of them cut smaller ones."""
CLUSTER_SHARD = 4096**2
"""The most pixels of a shard on a cluster, whose workers may come and go."""
CLUSTER_WORKERS = 8
"""As many as a cluster is taken to have, so that a run is resumed with the same shards whatever it has then."""
CONNECT_S = 30


@dataclass(frozen=True, kw_only=True)
class _Connection:
    """A scheduler that is reached."""

    client: "Client"
    supervise: Callable[[], None]
    """To be called from time to time."""
    forgive: Callable[[], None]
    """To be called when work has been done, see `LocalWorkers.forgive`."""
    lanes: int | None
    """Forward passes side by side in each worker; None for as many as it has threads."""


class Dask:
    """An executor for `segment` that computes shards of the scene on Dask workers.

    Law: labels are the same to the bit as in one process, whatever the number of workers and the shards.

    As a context manager it keeps its workers for several runs; else each run starts and ends its own.
    """

    threads_per_pass: int | None = 1  # the same on workers of any size: labels depend on it

    def __init__(
        self,
        workers: "int | str | os.PathLike[str] | Client",
        *,
        threads: int | None = None,
        shard_size: int | None = None,
    ) -> None:
        """Say where the workers are; nothing is started yet.

        Args:
            workers: the number of processes to start on this machine; or the address of a scheduler (`tcp://…`,
                `tls://…`), the path of a scheduler file (.json), or a `distributed.Client`.
            threads: threads on which each local worker runs the network; by default this process's, shared out.
            shard_size: the most pixels along each side of a shard; by default what suits the workers.

        Raises:
            OptionError: for a number below 1, and without the extra `dask`.
        """
        if find_spec("distributed") is None:
            raise OptionError("Dask is not installed: pip install 'geodeeplab[dask]', or leave Dask out")
        for name, number in (("workers", workers), ("threads", threads), ("shard_size", shard_size)):
            if isinstance(number, int) and number < 1:
                raise OptionError(f"Dask takes 1 or more as {name}, not {number}")
        self.workers, self.threads, self.shard_size = workers, threads, shard_size
        self._held: tuple[_Connection, ExitStack] | None = None

    def __repr__(self) -> str:
        return f"Dask({self.workers!r})"

    def __enter__(self) -> "Dask":
        with ExitStack() as stack:
            self._held = stack.enter_context(self._connect()), stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._held is not None
        (_, stack), self._held = self._held, None
        stack.close()

    @property
    def processes_per_device(self) -> int:
        """Local workers that share a GPU, where there are fewer; on a cluster each has its own."""
        gpus = len(visible_gpus()) if isinstance(self.workers, int) else 0
        return -(-self.workers // gpus) if isinstance(self.workers, int) and gpus else 1

    def cut(self, plan: Plan) -> list[Shard]:
        """Cut the scene into shards of whole strides; see `Executor.cut`.

        Raises:
            OptionError: if scene or model cannot be opened by another process, or the device is one of several GPUs.
        """
        to_portable(plan.request)
        is_local = isinstance(self.workers, int)
        self._check_device(plan.request.device)
        count = self.workers if isinstance(self.workers, int) else CLUSTER_WORKERS
        most = LOCAL_SHARD if is_local else CLUSTER_SHARD
        return cut_shards(plan, workers=count, most_pixels=most, shard_size=self.shard_size)

    def run(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        take: TakeBlock,
        facts: RunFacts,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        """Compute shards, see `Executor.run`. That all workers would give the same pixels is checked first.

        This process gives its GPU back before, as the workers compute there; they take the batch that it has found.

        Raises:
            OptionError: if the scheduler or its workers cannot be reached, or a worker would not give the same pixels.
            GeoDeepLabError: if a worker cannot open scene or model; and what went wrong in a shard.
        """
        plan.engine.forward.release()
        request = replace(to_portable(plan.request), batch_size=plan.engine.forward.batch_size)
        with self._connection() as there, there.client.as_current():
            job = Job(
                run_id=uuid.uuid4().hex,
                request=request,
                pins=plan.pins,
                lanes=there.lanes,
                connectivity=None if tracing is None else tracing.connectivity,
            )
            try:
                check_workers(there.client, job, check_worker)
                for result in iter_results(there.client, job, shards, supervise=there.supervise):
                    for traced in result.traced:
                        assert tracing is not None, "nothing is traced without"
                        tracing.take(traced)
                    for block in result.blocks:
                        take(block)
                    facts.add(result.facts)
                    _note_batch_size(plan, result.batch_size)
            finally:
                with suppress(OSError, RuntimeError):  # there may be nobody left to tell
                    there.client.run(end_run, job.run_id, on_error="ignore")

    def iter_scenes(self, calls: Sequence[SceneCall], *, manifest: Path) -> Iterator[SceneRun]:
        """Segment whole scenes, one for each worker at a time; see `SceneExecutor.iter_scenes`.

        Raises:
            OptionError: if the model is only in this process, or the device one of several GPUs; the scheduler or its
                workers cannot be reached; or a worker has other versions, or another model.
            OutputError: if a worker does not see the folder of the results.
        """
        options = calls[0].options
        self._check_device(options.get("device", "auto"))
        model = as_model(options.get("model", DEFAULT_MODEL), options.get("contract"))
        name, contract = portable_model(model, None)
        with self._connection() as there, there.client.as_current():
            job = SceneJob(
                run_id=uuid.uuid4().hex,
                model=name,
                contract=contract,
                pins=pins_of_model(model),
                manifest=manifest.absolute(),
                lanes=there.lanes,
                threads_per_pass=self.threads_per_pass,
                processes_per_device=self.processes_per_device,
            )
            try:
                check_workers(there.client, job, check_scene_worker)
                waiting = [portable_call(call) for call in calls]
                named = {call.name: tuple(map(str, call.outputs.values())) for call in calls}
                for run in iter_scene_runs(
                    there.client, job, waiting, supervise=there.supervise, forgive=there.forgive
                ):
                    outputs = named[run.scene]
                    facts = None if run.facts is None else {**run.facts, "outputs": list(outputs)}
                    yield replace(run, outputs=outputs, facts=facts)
            finally:
                with suppress(OSError, RuntimeError):
                    there.client.run(end_scenes, job.run_id, on_error="ignore")

    def _check_device(self, device: str) -> None:
        if isinstance(self.workers, int) and device.startswith("cuda:") and device != "cuda:0":
            raise OptionError(f"local Dask workers have one GPU each, not {device}: pass `device='cuda'`")

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        if self._held is not None:
            yield self._held[0]
        else:
            with self._connect() as there:
                yield there

    @contextmanager
    def _connect(self) -> Iterator[_Connection]:
        """Start local workers, or connect to the cluster."""
        from distributed import Client

        if isinstance(self.workers, Client):
            yield _Connection(client=self.workers, supervise=_nothing, forgive=_nothing, lanes=None)
        elif isinstance(self.workers, int):
            threads = self.threads or max(1, torch.get_num_threads() // self.workers)
            with LocalWorkers(self.workers, threads=threads) as local, _reach(local.address, local.security) as client:
                yield _Connection(client=client, supervise=local.revive, forgive=local.forgive, lanes=threads)
        else:
            with _reach(os.fspath(self.workers)) as client:
                yield _Connection(client=client, supervise=_nothing, forgive=_nothing, lanes=self.threads)


def parse_dask(text: str) -> Dask:
    """Read the value of `--dask`: a number of local workers, or where a scheduler is.

    Raises:
        OptionError: for a number below 1, for what is neither, and without the extra `dask`.
    """
    if text.lstrip("-").isdecimal():
        return Dask(int(text))
    if "://" not in text and not os.path.isfile(text):
        raise OptionError(
            f"`executor=` is a number of local workers, a scheduler's address or a scheduler file, not {text!r}: "
            "try 4 or tcp://HOST:8786"
        )
    return Dask(text)


@contextmanager
def _reach(where: str, security: "Security | None" = None) -> "Iterator[Client]":
    """Connect to a scheduler by its address or scheduler file, with what Dask's configuration says of certificates.

    Raises:
        OptionError: if it does not answer.
    """
    from distributed import Client

    arguments: dict[str, Any] = {"address": where} if "://" in where else {"scheduler_file": where}
    if security is not None:
        arguments["security"] = security
    client = Client.__new__(Client)  # at hand where connecting fails: its finaliser must not be the one that closes it
    try:
        Client.__init__(client, **arguments, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # a TimeoutError is an OSError; without certificates a TypeError
        client.close()
        raise OptionError(f"no Dask scheduler answers at {where} ({error}): check the address") from error
    with client:
        yield client


def _note_batch_size(plan: Plan, batch_size: int) -> None:
    """Take over a batch that a worker had to halve, so that the outputs say so."""
    forward = plan.engine.forward
    if batch_size < forward.batch_size:
        warnings.warn(
            f"out of memory with {forward.batch_size} tiles a batch on a worker, which went on with {batch_size}: "
            f"labels may differ in rare pixels from those of a run that begins so; pass `batch_size={batch_size}`",
            GeoDeepLabWarning,
            stacklevel=2,
        )
        forward.batch_size = batch_size


def _nothing() -> None:
    """Do nothing."""
