"""The laws of tiled inference, on stand-in networks whose answer is known, and on the bundled model."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from geodeeplab.inference import BLENDS, CONFIDENCE_NODATA, Decision, Device, Engine, Forward, RunFacts, pick_device
from geodeeplab.models import Normalisation, load_model
from geodeeplab.raster import Scene, open_scene
from geodeeplab.tiling import Lattice, Shard
from tests.examples import examples, few, is_full

CPU = Device(torch_device=torch.device("cpu"), precision="fp32", lanes=2)
MakeRaster = Callable[..., Path]


class Plain(nn.Module):
    """Pixels as they are, as float."""

    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        return pixels.float()


class Constant(nn.Module):
    """The second of three classes, everywhere."""

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        logits = torch.zeros(len(images), 3, *images.shape[-2:])
        logits[:, 1] = 1.0
        return logits


class Local(nn.Module):
    """A network that sees exactly `radius` pixels around each pixel, and reflects at the edge of what it is given."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius
        size = 2 * radius + 1
        weight = torch.randn(4, 1, size, size, generator=torch.Generator().manual_seed(3))
        weight[:, :, 0, 0] += 40.0  # the outermost pixels count most: one pixel short must show
        weight[:, :, -1, -1] -= 40.0
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        padded = F.pad(images, [self.radius] * 4, mode="reflect") if self.radius else images
        return F.conv2d(padded.double(), self.weight.double()).float()


def engine_of(network: nn.Module, **options: object) -> Engine:
    return make_engine(network, Plain(), class_ids=(1, 2, 7, 9), device=CPU, **options)  # type: ignore[arg-type]


def make_engine(
    network: nn.Module,
    normalise: nn.Module,
    *,
    class_ids: tuple[int, ...],
    device: Device,
    batch_size: int | None = None,
    blend: str = "hann",
    margin: int = 0,
    with_confidence: bool = False,
) -> Engine:
    forward = Forward(network, normalise, device=device, batch_size=batch_size)
    decision = Decision(class_ids=class_ids, with_confidence=with_confidence)
    return Engine(forward, decision, blend=blend, margin=margin)


def run(engine: Engine, scene: Scene, lattice: Lattice, shard: Shard | None = None) -> NDArray[np.uint8]:
    return np.concatenate([rows.labels for rows in engine.iter_rows(scene, lattice, shard=shard)])


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def make_scene(tmp_path_factory: pytest.TempPathFactory) -> Callable[[NDArray[np.uint8]], Scene]:
    import rasterio
    from rasterio.transform import from_origin

    folder = tmp_path_factory.mktemp("scenes")
    opened: list[Scene] = []

    def make(array: NDArray[np.uint8], nodata: int | None = None) -> Scene:
        path = folder / f"{len(opened)}.tif"
        count, height, width = array.shape
        profile = {"driver": "GTiff", "dtype": array.dtype, "count": count, "height": height, "width": width}
        with rasterio.open(
            path, "w", **profile, crs="EPSG:32632", transform=from_origin(0, 100, 1, 1), nodata=nodata
        ) as dst:
            dst.write(array)
        opened.append(open_scene(path))
        return opened[-1]

    return make


MakeScene = Callable[..., Scene]
relaxed = settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    tile=st.integers(2, 24).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size // 2))),
    blend=st.sampled_from(BLENDS),
    batch_size=st.integers(1, 5),
)
def test_a_constant_model_gives_a_constant_raster_to_the_last_corner(
    make_scene: MakeScene, shape: tuple[int, int], tile: tuple[int, int], blend: str, batch_size: int
) -> None:
    engine = make_engine(
        Constant(), Plain(), class_ids=(1, 2, 7), device=CPU, batch_size=batch_size, blend=blend, with_confidence=True
    )
    lattice = Lattice(shape=shape, tile_size=tile[0], overlap=tile[1])
    rows = list(engine.iter_rows(make_scene(noise((1, *shape))), lattice))
    labels = np.concatenate([r.labels for r in rows])
    confidence = np.concatenate([r.layers["confidence"] for r in rows])
    assert labels.shape == confidence.shape == shape
    assert (labels == 2).all()
    assert (confidence == round(100 * math.e / (math.e + 2))).all()


def whole(network: nn.Module, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    logits = network(torch.from_numpy(array[None]).float(), torch.ones(1))
    labels: NDArray[np.uint8] = np.array([1, 2, 7, 9], dtype=np.uint8)[logits[0].argmax(0).numpy()]
    return labels


@pytest.mark.parametrize("radius", [0, 1, 3])
@pytest.mark.parametrize("shape", [(61, 47), (24, 90), (33, 32)])
@pytest.mark.parametrize("blend", few(BLENDS, 9))
def test_tiled_equals_whole_where_the_overlap_covers_the_field_of_view(
    make_scene: MakeScene, radius: int, shape: tuple[int, int], blend: str
) -> None:
    array = noise((1, *shape))
    for overlap in {2 * radius, 2 * radius + 3, 10}:
        engine = engine_of(Local(radius), blend=blend, margin=radius, batch_size=2)
        tiled = run(engine, make_scene(array), Lattice(shape=shape, tile_size=24, overlap=overlap))
        assert np.array_equal(tiled, whole(Local(radius), array))


@pytest.mark.parametrize("blend", BLENDS)
def test_an_overlap_one_pixel_short_shows(make_scene: MakeScene, blend: str) -> None:
    array, radius = noise((1, 120, 130)), 3
    short = run(
        engine_of(Local(radius), blend=blend, margin=radius),
        make_scene(array),
        Lattice(shape=(120, 130), tile_size=24, overlap=2 * radius - 1),
    )
    assert not np.array_equal(short, whole(Local(radius), array))


@pytest.mark.parametrize("blend", ["hann", "linear"])
def test_a_margin_one_pixel_short_shows(make_scene: MakeScene, blend: str) -> None:
    array, radius = noise((1, 120, 130)), 3
    short = run(
        engine_of(Local(radius), blend=blend, margin=radius - 1),
        make_scene(array),
        Lattice(shape=(120, 130), tile_size=24, overlap=2 * radius + 4),
    )
    assert not np.array_equal(short, whole(Local(radius), array))


# Height and width of a scene, the rows and columns of it that hold no data, and the side of a tile.
SHARDED = ((67, 58), (np.s_[20:50], np.s_[10:45]), 24) if is_full() else ((29, 25), (np.s_[8:21], np.s_[5:19]), 12)


@settings(relaxed, max_examples=examples(40 if is_full() else 24))
@given(
    shard_height=st.integers(1, SHARDED[0][0] + 10),
    shard_width=st.integers(1 if is_full() else 5, SHARDED[0][1] + 10),  # single pixels take long
    overlap=st.integers(0, SHARDED[2] // 2),
    batch=st.integers(1, 4),
)
def test_shards_of_any_size_give_the_same_labels(
    make_scene: MakeScene, shard_height: int, shard_width: int, overlap: int, batch: int
) -> None:
    shape, (rows, cols), tile_size = SHARDED
    array = noise((1, *shape))
    array[:, rows, cols] = 0
    scene, lattice = make_scene(array, nodata=0), Lattice(shape=shape, tile_size=tile_size, overlap=overlap)
    engine = engine_of(Local(2), batch_size=batch)
    expected = run(engine, scene, lattice)
    got = np.full_like(expected, 255)
    for shard in lattice.iter_shards(shard_height, shard_width):
        got[shard.row_start : shard.row_stop, shard.col_start : shard.col_stop] = run(engine, scene, lattice, shard)
    assert np.array_equal(got, expected)


def test_nodata_stays_nodata_and_empty_tiles_are_not_forwarded(make_scene: MakeScene) -> None:
    array = noise((1, 64, 64))
    array[:, :40] = 0
    array[0, 50, 50] = 0
    scene, facts = make_scene(array, nodata=0), RunFacts()
    engine = engine_of(Local(1), with_confidence=True, batch_size=2)
    rows = list(engine.iter_rows(scene, Lattice(shape=(64, 64), tile_size=16, overlap=4), facts=facts))
    labels = np.concatenate([r.labels for r in rows])
    confidence = np.concatenate([r.layers["confidence"] for r in rows])
    assert np.array_equal(labels == 0, array[0] == 0)
    assert np.array_equal(confidence == CONFIDENCE_NODATA, array[0] == 0)
    assert facts.tiles_skipped == 3 * 5  # tile rows 0-15, 12-27 and 24-39 lie within the nodata
    assert facts.tiles_forwarded == 2 * 5


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float64", "float32", "int8"])
def test_every_real_dtype_reaches_the_network_as_it_is(make_scene: MakeScene, dtype: str) -> None:
    array = np.random.default_rng(1).integers(1, 120, (1, 30, 20)).astype(dtype)
    labels = run(engine_of(Local(1)), make_scene(array), Lattice(shape=(30, 20), tile_size=32, overlap=0))
    assert np.array_equal(labels, whole(Local(1), array))


def test_an_error_in_the_network_surfaces(make_scene: MakeScene) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor, valid: Tensor) -> Tensor:
            raise RuntimeError("no forward")

    engine = engine_of(Broken())
    with pytest.raises(RuntimeError, match="no forward"):
        run(engine, make_scene(noise((1, 20, 20))), Lattice(shape=(20, 20), tile_size=8, overlap=2))


@pytest.mark.slow
@pytest.mark.parametrize("side", [16, pytest.param(32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_the_bundled_model_gives_bit_identical_labels_in_any_shard(
    make_scene: MakeScene, precision: str, side: int
) -> None:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 255, (3, 8, 10), dtype=np.uint8).repeat(side, axis=1).repeat(side, axis=2)
    image = (coarse // 2 + rng.integers(0, 128, coarse.shape, dtype=np.uint8)).astype(np.uint8)
    image[:, 6 * side :, 2 * side : 7 * side] = 0
    scene, model = make_scene(image, nodata=0), load_model()
    assert model.network.point_head is not None
    engine = make_engine(
        model.network,
        Normalisation(model.contract),
        class_ids=tuple(item.id for item in model.contract.classes),
        device=Device(torch_device=torch.device("cpu"), precision=precision, lanes=2),
        batch_size=2,
    )
    lattice = Lattice(shape=image.shape[1:], tile_size=4 * side, overlap=3 * side // 2)
    expected = run(engine, scene, lattice)
    assert len(np.unique(expected)) > 2
    for height, width in ((2 * side + 6, 10 * side), (8 * side, 3 * side + 9), (3 * side - 6, 4 * side + 15)):
        for shard in lattice.iter_shards(height, width):
            window = np.s_[shard.row_start : shard.row_stop, shard.col_start : shard.col_stop]
            assert np.array_equal(run(engine, scene, lattice, shard), expected[window])


@pytest.mark.gpu
def test_shards_are_bit_identical_on_the_gpu_and_close_to_the_cpu(make_scene: MakeScene) -> None:
    image = noise((3, 500, 600), seed=2)
    scene, model = make_scene(image), load_model()
    lattice = Lattice(shape=(500, 600), tile_size=256, overlap=64)
    labels = {}
    for device in (pick_device("cuda"), pick_device("cuda", "fp32"), pick_device("cpu", "fp32")):
        engine = make_engine(
            model.network,
            Normalisation(model.contract),
            class_ids=tuple(item.id for item in model.contract.classes),
            device=device,
            batch_size=4,
        )
        labels[device] = run(engine, scene, lattice)
        for shard in lattice.iter_shards(170, 333):
            window = np.s_[shard.row_start : shard.row_stop, shard.col_start : shard.col_stop]
            assert np.array_equal(run(engine, scene, lattice, shard), labels[device][window])
    bf16, fp32, cpu = labels.values()
    assert (fp32 == cpu).mean() > 0.999
    assert (bf16 == cpu).mean() > 0.97
