"""Runs on a pretended GPU: the CPU's pixels to the bit, in CUDA's order, and nobody waits for a tile."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geodeeplab.errors import GeoDeepLabWarning, ModelError, OptionError
from geodeeplab.inference import Decision, RunFacts, pick_device
from geodeeplab.models import Contract, Model, ModelBand, ModelClass, PointHead, subdivide
from geodeeplab.models.crf import DenseCRF
from geodeeplab.pipeline.plan import Plan, open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import Scene, open_array
from tests.examples import few
from tests.inference import pretended_cuda
from tests.inference.pretended_cuda import Machine, Pretended, Stream, cuda

__all__ = ["cuda"]

HEIGHT, WIDTH, LOST = 60, 84, 251
"""Of the scene in pixels, and a value for which the network gives no finite logits, where it is told so."""


class Small(nn.Module):
    """Two convolutions, batch normalisation and PointRend: what the published networks are made of."""

    def __init__(self, *, loses: bool = False) -> None:
        super().__init__()
        self.loses = loses
        generator = torch.Generator().manual_seed(3)
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 3, 1))
        self.head = PointHead(8, 3, hidden_channels=8)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.requires_grad_(False).copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
        self.eval()

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        fine = self.fine(images)
        logits = subdivide(self.head, self.coarse(fine), [fine], shape=images.shape[-2:], valid=valid)
        return logits.masked_fill(images[:, :1] > 2.08, torch.nan) if self.loses else logits


def model(*, dtype: str = "uint8", gsd_m: float | None = None, loses: bool = False) -> Model:
    """A model of three classes; pixels of `LOST` are 2.1 deviations from the mean."""
    classes = tuple(ModelClass(id=i, name=name, color=(i, 0, 0)) for i, name in ((2, "a"), (5, "b"), (7, "c")))
    bands = tuple(ModelBand(name=name, mean=125.0, std=60.0) for name in ("red", "green", "blue"))
    contract = Contract(name="small", classes=classes, bands=bands, tile_size=32, overlap=8, dtype=dtype, gsd_m=gsd_m)
    return Model(network=Small(loses=loses), contract=contract)


def scene(*, dtype: str = "uint8", rows: int = HEIGHT) -> Scene:
    """Squares of grey with noise; a corner of a tile or two has no data, and three pixels are `LOST`."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(30, 220, (3, -(-rows // 12), WIDTH // 12)).repeat(12, axis=1).repeat(12, axis=2)[:, :rows]
    image = (coarse + rng.integers(-25, 25, coarse.shape)).astype(dtype)
    for row, col in ((3, 4), (24, 30), (50, 80)):
        image[:, row, col] = LOST
    valid = np.ones((rows, WIDTH), bool)
    valid[30:60, 20:60] = False
    return open_array(image, valid=valid, crs="EPSG:32633", bands=("red", "green", "blue"))


def ask(device: str, **options: Any) -> Request:  # noqa: ANN401
    """Ask for a run of `scene` by `model`."""
    dtype, gsd_m, loses = options.pop("dtype", "uint8"), options.pop("model_gsd_m", None), options.pop("loses", False)
    settled: dict[str, Any] = {
        "scene": scene(dtype=dtype, rows=options.pop("rows", HEIGHT)),
        "precision": "fp32",
        "batch_size": 4,
    }
    settled |= {"model": model(dtype=dtype, gsd_m=gsd_m, loses=loses), "device": device, "threads": 1}
    return Request(**settled | options)


def pixels(plan: Plan, facts: RunFacts | None = None) -> dict[str, NDArray[Any]]:
    rows = list(plan.iter_rows(plan.whole, facts or RunFacts()))
    return {name: np.concatenate([one.layers[name] for one in rows], axis=-2) for name in rows[0].layers}


def run(device: str, **options: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401
    with open_plan(ask(device, **options)) as plan:
        return pixels(plan)


def assert_same(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes(), name


RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "uint16": {"dtype": "uint16", "rescale": (0, 255)},
    "confidence and probabilities": {"with_confidence": True, "probabilities": "float16", "min_confidence": 0.4},
    "probabilities as integers": {"probabilities": "uint8", "classes": ("a", "c"), "other": True},
    "flipped": {"tta": "flips"},
    "refined": {"crf": DenseCRF(sxy=4, iterations=1), "with_confidence": True},
    "zoomed": {"model_gsd_m": 1.5, "with_confidence": True},
    "lost pixels": {"loses": True, "non_finite": "nodata", "with_confidence": True},
}


@pytest.mark.parametrize("options", few(RUNS.values(), 3), ids=RUNS)
def test_every_gpu_gives_the_pixels_of_the_cpu(cuda: Machine, options: dict[str, Any]) -> None:
    expected = run("cpu", **options)
    assert len(np.unique(expected["labels"])) > 2, "an example that shows something"
    for device in ("cuda:1", "cuda:0"):
        assert_same(run(device, **options), expected)
        assert cuda.faults == []
        if device == "cuda:1":
            assert list(cuda.defaults) == [1], "nothing is done on another GPU"


@pytest.mark.parametrize("name", ["confidence and probabilities", "lost pixels", "flipped"])
def test_nobody_waits_for_a_tile(cuda: Machine, name: str) -> None:
    with open_plan(ask("cuda:1", **RUNS[name], rows=2 * HEIGHT)) as plan:
        cuda.waits.clear()
        pixels(plan)
    assert sum(cuda.waits.values()) <= 3, "but for the two ramps of the blending and the table of labels, once"
    assert all("inference/blend.py" in where or "inference/decision.py" in where for where in cuda.waits)
    assert cuda.arrivals == plan.lattice.rows.count, "the host waits for each row of tiles, once"


def test_pixels_that_are_lost_end_the_run_when_rows_arrive(cuda: Machine) -> None:
    with pytest.raises(ModelError, match="not finite in the tile of rows 0-31, columns 0-31"):
        run("cuda:1", loses=True)


def test_the_gpu_of_the_caller_is_meant_by_cuda_in_every_thread(cuda: Machine) -> None:
    with torch.cuda.stream(torch.cuda.current_stream(1)):  # makes it the thread's own device
        assert pick_device("cuda", "fp32").torch_device == torch.device("cuda:1")
        assert pick_device("auto", "fp32").torch_device == torch.device("cuda:1")
    assert pick_device("cuda", "fp32").torch_device == torch.device("cuda:0")


# What the pretended GPU would not notice, it would not prove.


def without_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretended_cuda.Event, "synchronize", lambda self: None)


def with_an_event_of_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: pretended_cuda.machine.current(0))


def without_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stream, "wait_stream", lambda self, other: None)


def without_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pretended, "record_stream", lambda self, stream: None)


@pytest.mark.parametrize(
    "take_away",
    [without_event, with_an_event_of_another_device, without_wait, without_record],
    ids=lambda one: one.__name__,
)
def test_it_shows_what_is_taken_away(
    cuda: Machine, monkeypatch: pytest.MonkeyPatch, take_away: Callable[[pytest.MonkeyPatch], None]
) -> None:
    expected = run("cpu")
    take_away(monkeypatch)
    found = run("cuda:1", non_finite="nodata")
    assert cuda.faults or found["labels"].tobytes() != expected["labels"].tobytes()
    if take_away in (without_event, with_an_event_of_another_device):
        assert (found["labels"] == pretended_cuda.POISON).all()


def test_it_shows_a_table_that_is_made_for_each_tile(cuda: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Decision.__call__

    def with_table(self: Decision, logits: Tensor, wanted: Tensor, table: Tensor) -> dict[str, Tensor]:
        return decide(self, logits, wanted)

    monkeypatch.setattr(Decision, "__call__", with_table)
    with open_plan(ask("cuda:0")) as plan:
        cuda.waits.clear()
        pixels(plan)
    assert sum(cuda.waits.values()) > 3 + plan.lattice.rows.count


# Memory.

CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
ALLOCATING = ("abs", "add", "clone", "eq", "gt", "max", "mul", "zeros")
"""Operations that the package asks for beside the network, and that make tensors."""


def refuse_more_than(
    tiles: int, *, channels: int = 3, words: str = "CUDA out of memory."
) -> Callable[[str, Sequence[Tensor]], None]:
    """Refuse memory to convolutions of more tiles, those that read so many channels."""

    def refuse(name: str, tensors: Sequence[Tensor]) -> None:
        if name == "convolution" and len(tensors[0]) > tiles and tensors[0].shape[1] == channels:
            raise RuntimeError(words)

    return refuse


def test_halved_batches_give_the_same_pixels_and_free_first(cuda: Machine) -> None:
    expected = run("cpu", batch_size=2)
    with open_plan(ask("cuda:0", batch_size=8)) as plan:
        cuda.before = refuse_more_than(
            2, channels=8, words=CUBLAS
        )  # the second convolution: what the first has made is there
        held = cuda.allocated[0]
        with pytest.warns(GeoDeepLabWarning, match="out of memory with"):
            assert_same(pixels(plan), expected)
        assert plan.engine.forward.batch_size == 2
    blending = 4 * 3 * 8 * (WIDTH + 32)
    assert len(cuda.freed_at) == 2
    assert max(cuda.freed_at) < held + 2 * blending, "what the failed pass had made is gone by then"
    assert cuda.faults == []


def out_of_memory_in(place: str, *, times: int) -> Callable[[str, Sequence[Tensor]], None]:
    """Refuse memory so many times to operations that a line of a file asks for."""
    left = times

    def refuse(name: str, tensors: Sequence[Tensor]) -> None:
        nonlocal left
        if left and name in ALLOCATING and pretended_cuda._line().startswith(place):
            left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")

    return refuse


@pytest.mark.parametrize("file", few(["inference/memory.py", "inference/decision.py", "inference/finite.py"], 1))
def test_memory_that_runs_out_beside_the_network_is_freed_once(cuda: Machine, file: str) -> None:
    expected = run("cpu")
    with open_plan(ask("cuda:1")) as plan:
        cuda.before = out_of_memory_in(file, times=1)
        assert_same(pixels(plan), expected)
        assert len(cuda.freed_at) == 1
        cuda.before = out_of_memory_in(file, times=1_000_000)
        with pytest.raises(OptionError, match="not enough memory to blend the logits of a batch: choose a smaller"):
            pixels(plan)


def test_without_page_locked_memory_copies_wait_and_say_so(cuda: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run("cpu")
    empty = torch.empty

    def refuse(*shape: Any, pin_memory: bool = False, **options: Any) -> Tensor:  # noqa: ANN401
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*shape, **options)

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.warns(GeoDeepLabWarning, match="no page-locked memory left"):
        assert_same(run("cuda:1"), expected)
    assert cuda.faults == []


def test_the_batch_found_is_what_fits_and_gives_the_same_pixels(cuda: Machine) -> None:
    with open_plan(ask("cuda:1", batch_size=1)) as plan:
        cuda.memory = plan.engine.forward._peak_bytes(1, (3, 32, 32)) * 12
    del plan
    with open_plan(ask("cuda:1", batch_size=None)) as plan:
        batch_size = plan.engine.forward.batch_size
        found = pixels(plan)
    assert batch_size in (4, 8)
    assert_same(found, run("cpu", batch_size=batch_size))
    assert cuda.faults == []


def test_what_our_own_allocator_keeps_counts_as_free_and_is_shared_out(cuda: Machine) -> None:
    with open_plan(ask("cuda:0", batch_size=1)) as plan:
        forward = plan.engine.forward
        cuda.memory = 40 * forward._peak_bytes(1, (3, 32, 32))
        alone = forward.find_batch_size(3, 32)
        cuda.kept = cuda.memory - cuda.allocated[0] - 1
        assert forward.find_batch_size(3, 32) == alone >= 8
        assert forward.find_batch_size(3, 32, sharing=4) == alone // 4


def test_where_two_tiles_do_not_fit_the_batch_is_one(cuda: Machine) -> None:
    cuda.before = refuse_more_than(1)
    with open_plan(ask("cuda:0", batch_size=None)) as plan:
        assert plan.engine.forward.batch_size == 1


def test_where_one_tile_does_not_fit_it_says_so_before_any_work(cuda: Machine) -> None:
    cuda.before = refuse_more_than(0)
    with pytest.raises(OptionError, match="not enough memory for one tile: choose a smaller `tile_size=`"):
        open_plan(ask("cuda:0", batch_size=None)).__enter__()


def test_a_process_that_gives_its_gpu_back_holds_nothing(cuda: Machine) -> None:
    with open_plan(ask("cuda:0", batch_size=None)) as plan:
        assert cuda.allocated[0] > 0
        plan.engine.forward.release()
        assert cuda.allocated[0] == 0
        assert cuda.freed_at == [0]
        assert plan.pins["batch_size"] == plan.engine.forward.batch_size


def test_compiled_networks_run_in_any_thread(cuda: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA graphs, which `reduce-overhead` makes, belong to the thread that made the first one."""
    asked: list[dict[str, Any]] = []

    def compiled(network: nn.Module, **options: Any) -> nn.Module:  # noqa: ANN401
        asked.append(options)
        return network

    monkeypatch.setattr(torch, "compile", compiled)
    expected = run("cpu")
    for _ in range(2):
        assert_same(run("cuda:0", compiled=True), expected)
    assert all(options.get("mode", "default") == "default" for options in asked)
