"""Tiles refined with the CRF: threads, devices, and the laws of tiling with it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.inference import CRFRefiner, Decision, Device, Engine, Forward
from geodeeplab.models.crf import DenseCRF, Guide
from geodeeplab.raster import Scene, open_scene
from geodeeplab.tiling import Lattice, Shard

CPU = Device(torch_device=torch.device("cpu"), precision="fp32")
BYTES = Guide.of_bands([(0.0, 255.0)] * 3)
SMALL = DenseCRF(w1=4, sxy=8, srgb=10)
Blocks = Callable[..., np.ndarray]


class Plain(nn.Module):
    """Pixels as they are, as float."""

    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        return pixels.float()


class Blurred(nn.Module):
    """Three classes by the colour that leads nearby: the edges of the image are lost."""

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        return F.avg_pool2d(images, 9, stride=1, padding=4, count_include_pad=False) / 40


def batch(blocks: Blocks, count: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
    pixels = np.stack([blocks(40, 40, seed=seed) for seed in range(count)])
    valid = np.ones((count, 40, 40), bool)
    return pixels, valid, Blurred()(torch.from_numpy(pixels).float(), torch.from_numpy(valid))


def test_each_tile_is_refined_by_itself(blocks: Blocks) -> None:
    pixels, valid, logits = batch(blocks, 5)
    valid[1, :10] = False
    expected = [SMALL.refine(logits[i].numpy(), pixels[i], valid[i]) for i in range(5)]
    for threads in (1, 2, 4):
        refined = CRFRefiner(SMALL, BYTES, threads=threads)(pixels, valid, logits)
        assert refined.dtype == torch.float32
        np.testing.assert_array_equal(refined.numpy(), np.stack(expected))
    assert (refined.argmax(1) != logits.argmax(1)).float().mean() > 0.02, "the CRF has little to do"


def test_tiles_without_data_stay_as_they_are_and_the_input_does(blocks: Blocks) -> None:
    pixels, valid, logits = batch(blocks, 2)
    valid[1] = False
    before = logits.clone()
    refined = CRFRefiner(SMALL, BYTES)(pixels, valid, logits)
    assert torch.equal(refined[1], logits[1])
    assert torch.equal(logits, before)


def test_an_error_in_a_thread_surfaces(blocks: Blocks) -> None:
    pixels, valid, logits = batch(blocks, 2)
    with pytest.raises(ValueError, match="share height and width"):
        CRFRefiner(SMALL, BYTES)(pixels[..., 1:], valid, logits)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    import rasterio
    from rasterio.transform import from_origin

    rng = np.random.default_rng(6)
    coarse = rng.integers(30, 220, (3, 10, 8)).repeat(16, axis=1).repeat(16, axis=2)
    image = (coarse + rng.integers(-25, 26, coarse.shape)).astype(np.uint8)[:, :151, :117]
    image[:, 60:90, 20:70] = 0
    path = Path(tmp_path_factory.mktemp("refine")) / "scene.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 151, "width": 117, "nodata": 0}
    with rasterio.open(path, "w", **profile, crs="EPSG:32632", transform=from_origin(0, 151, 1, 1)) as dst:
        dst.write(image)
    return open_scene(path)


def run(engine: Engine, scene: Scene, lattice: Lattice, shard: Shard | None = None) -> np.ndarray:
    return np.concatenate([rows.labels for rows in engine.iter_rows(scene, lattice, shard=shard)])


def engine_with(refine: CRFRefiner | None, *, batch_size: int = 2) -> Engine:
    forward = Forward(Blurred(), Plain(), device=CPU, batch_size=batch_size, refine=refine)
    return Engine(forward, Decision(class_ids=(1, 2, 3)))


@pytest.mark.slow
def test_shards_and_batches_of_any_size_give_the_same_labels(scene: Scene) -> None:
    lattice = Lattice(shape=(151, 117), tile_size=40, overlap=16)
    expected = run(engine_with(CRFRefiner(SMALL, BYTES)), scene, lattice)
    assert len(np.unique(expected)) == 4
    assert (expected != run(engine_with(None), scene, lattice)).mean() > 0.02
    for batch_size in (1, 3, 5):
        refined = run(engine_with(CRFRefiner(SMALL, BYTES), batch_size=batch_size), scene, lattice)
        np.testing.assert_array_equal(refined, expected)
    for shape in ((60, 117), (151, 41), (53, 37)):
        for shard in lattice.iter_shards(*shape):
            window = np.s_[shard.row_start : shard.row_stop, shard.col_start : shard.col_stop]
            got = run(engine_with(CRFRefiner(SMALL, BYTES)), scene, lattice, shard)
            np.testing.assert_array_equal(got, expected[window])


@pytest.mark.gpu
def test_on_the_gpu_logits_come_back_to_where_they_were(blocks: Blocks) -> None:
    pixels, valid, logits = batch(blocks, 3)
    refined = CRFRefiner(SMALL, BYTES)(pixels, valid, logits.cuda())
    assert refined.is_cuda
    np.testing.assert_array_equal(refined.cpu().numpy(), CRFRefiner(SMALL, BYTES)(pixels, valid, logits).numpy())
