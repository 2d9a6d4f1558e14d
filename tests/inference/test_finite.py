"""Logits that are no finite numbers: refused with their place, or nodata; never spread."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.inference import CRFRefiner, Decision, Device, Engine, Forward, RunFacts
from geodeeplab.inference.finite import mark_lost
from geodeeplab.models.crf import DenseCRF, Guide
from geodeeplab.raster import Scene, open_array
from geodeeplab.tiling import Lattice, Shard

CPU = Device(torch_device=torch.device("cpu"), precision="fp32", lanes=2)
LATTICE = Lattice(shape=(40, 50), tile_size=16, overlap=6)


class Plain(nn.Module):
    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        return pixels.float()


class Poisoned(nn.Module):
    """Two classes by the grey level against 100; logits of pixels of 200 are what they are told to be."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        level = images.mean(1, keepdim=True) - 100
        logits = torch.cat([-level, level], 1)
        logits[:, 1] = torch.where(images[:, 0] == 200, self.value, logits[:, 1])
        return logits


def scene_of(*bad: tuple[int, int]) -> Scene:
    image = np.random.default_rng(0).integers(1, 150, (1, *LATTICE.shape), dtype=np.uint8)
    for row, col in bad:
        image[0, row, col] = 200
    return open_array(image)


def engine(value: float, *, non_finite: str = "error", tta: str = "none", refine: bool = False) -> Engine:
    crf = CRFRefiner(DenseCRF(w1=0, w2=1, sg=1, iterations=2), Guide.of_bands([(0.0, 255.0)])) if refine else None
    forward = Forward(Poisoned(value), Plain(), device=CPU, batch_size=2, tta=tta, refine=crf)
    return Engine(
        forward, Decision(class_ids=(1, 2), with_confidence=True, probabilities="uint8"), non_finite=non_finite
    )


def run(
    engine: Engine, scene: Scene, facts: RunFacts | None = None, shard: Shard | None = None
) -> dict[str, np.ndarray]:
    rows = list(engine.iter_rows(scene, LATTICE, facts=facts, shard=shard))
    return {name: np.concatenate([one.layers[name] for one in rows], axis=-2) for name in rows[0].layers}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tta", ["none", "flips"])
def test_they_are_an_error_that_names_the_tile(value: float, tta: str) -> None:
    with pytest.raises(ModelError, match=r"not finite in the tile of rows 20-35, columns 30-45 of the scene;.*fp32"):
        run(engine(value, tta=tta), scene_of((28, 38)))


def test_half_precision_is_told_to_be_left() -> None:
    half = engine(np.nan)
    object.__setattr__(half.device, "precision", "fp16")
    try:
        with pytest.raises(ModelError, match="fp16 may be too narrow for this network: pass `precision='fp32'`"):
            run(half, scene_of((0, 0)))
    finally:
        object.__setattr__(half.device, "precision", "fp32")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tta", ["none", "flips"])
def test_as_nodata_they_cost_their_own_pixels_and_no_other(value: float, tta: str) -> None:
    bad = [(0, 0), (12, 12), (30, 41)]  # in one tile, in four, in two
    facts = RunFacts()
    found = run(engine(value, non_finite="nodata", tta=tta), scene_of(*bad), facts)
    expected = run(engine(0.0, tta=tta), scene_of(*bad))
    kept = np.ones(LATTICE.shape, bool)
    kept[tuple(zip(*bad, strict=True))] = False
    for name, pixels in found.items():
        assert np.array_equal(pixels[..., kept], expected[name][..., kept]), name
        assert (pixels[..., ~kept] == (0 if name == "labels" else 255)).all(), name
    assert facts.tiles_not_finite > 0


def test_invalid_pixels_may_have_any_logits() -> None:
    image = np.full((1, *LATTICE.shape), 50, np.uint8)
    image[0, :20] = 200
    valid = np.ones(LATTICE.shape, bool)
    valid[:20] = False
    found = run(engine(np.nan), open_array(image, valid=valid))
    assert np.array_equal(found["labels"] > 0, valid)


def test_the_crf_does_not_spread_them() -> None:
    found = run(engine(np.nan, non_finite="nodata", refine=True), scene_of((30, 41)))
    lost = found["labels"] == 0
    assert lost[30, 41]
    assert lost.sum() == 1
    with pytest.raises(ModelError, match="not finite"):
        run(engine(np.nan, refine=True), scene_of((30, 41)))


def test_a_pixel_that_one_tile_lost_is_what_the_others_say() -> None:
    class Edge(Poisoned):
        def forward(self, images: Tensor, valid: Tensor) -> Tensor:
            logits = super().forward(images, valid)
            logits[..., -2:] = torch.nan  # the last columns of every tile, which the next one sees, too
            return logits

    forward = Forward(Edge(0.0), Plain(), device=CPU, batch_size=2)
    lenient = Engine(forward, Decision(class_ids=(1, 2)), non_finite="nodata")
    labels, sound = run(lenient, scene_of())["labels"], run(engine(0.0), scene_of())["labels"]
    width = LATTICE.shape[1]
    seen_twice = np.arange(width) < (LATTICE.cols.start(LATTICE.cols.count - 1) + LATTICE.tile_size - 2)
    assert np.array_equal(labels[:, seen_twice], sound[:, seen_twice])


@settings(max_examples=15, deadline=None)
@given(row=st.integers(0, 39), col=st.integers(0, 39), data=st.data())
def test_shards_do_not_show(row: int, col: int, data: st.DataObject) -> None:
    shard = Shard(
        row_start=row,
        row_stop=data.draw(st.integers(row + 1, 40)),
        col_start=col,
        col_stop=data.draw(st.integers(col + 1, 50)),
    )
    lenient, scene = engine(np.inf, non_finite="nodata"), scene_of((12, 12), (30, 41))
    whole = run(lenient, scene)["labels"]
    part = run(lenient, scene, shard=shard)["labels"]
    assert np.array_equal(part, whole[shard.row_start : shard.row_stop, shard.col_start : shard.col_stop])


def test_finite_logits_whose_sum_is_not_lose_nothing() -> None:
    logits = torch.full((1, 2, 4, 4), 3e38)
    assert not mark_lost(logits, torch.ones(1, 4, 4, dtype=torch.bool)).any()  # type: ignore[union-attr]
    assert logits.isfinite().all()


def test_there_are_two_choices() -> None:
    with pytest.raises(OptionError, match="`non_finite=` is error or nodata, not 'zero'"):
        engine(0.0, non_finite="zero")
