"""Models of every kind through the forward pass that the engine uses, on real imagery."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning
from torch import Tensor

from geodeeplab.inference import Forward, pick_device
from geodeeplab.inference.lanes import Lanes
from geodeeplab.models import Model, as_model, export_onnx, load_model

Tiles = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def dubai(shared_data: Path) -> Tiles:
    """Two tiles (2, 3, 512, 512) of a photograph that the bundled model was not trained on, with some nodata."""
    path = shared_data / "dubai" / "Tile 6" / "images" / "image_part_005.jpg"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as src:
            image = src.read()
    pixels = torch.from_numpy(np.stack([image[:, :512, :512], image[:, -512:, -512:]]))
    valid = torch.ones(2, 512, 512, dtype=torch.bool)
    valid[0, :100, :60] = False
    return pixels, valid


def forward_of(model: Model) -> Forward:
    device = pick_device("cpu", model.settle_precision("fp32"))
    return Forward(model.network, model.preparation(), device=device, batch_size=2)


def in_lanes(model: Model, tiles: Tiles) -> list[Tensor]:
    """The logits of each tile, two tiles at once with a thread each."""
    forward = forward_of(model)
    with torch.inference_mode():
        singles = [(tiles[0][i : i + 1], tiles[1][i : i + 1]) for i in range(2)]
        return list(Lanes[Tiles, Tensor](lambda tile: forward.logits(*tile), lanes=2, threads=1).map(singles * 2))


@pytest.mark.slow
def test_the_exported_bundled_model_gives_the_labels_of_the_model_file(dubai: Tiles, tmp_path: Path) -> None:
    bundled = load_model()
    path = tmp_path / "bundled.onnx"
    export_onnx(bundled.network, replace(bundled.contract, tile_size=dubai[0].shape[-1]), path)
    exported = as_model(path)
    got, want = (forward_of(model).logits(*dubai) for model in (exported, bundled))
    assert len(want.argmax(1).unique()) >= 2
    assert (got.argmax(1) == want.argmax(1)).float().mean() >= 0.9999
    assert (got * bundled.contract.temperature - want).abs().max() < 1e-3  # the file's logits are calibrated
    first = in_lanes(exported, dubai)
    for again, logits in zip(in_lanes(exported, dubai), first, strict=True):
        assert torch.equal(again, logits)
    assert torch.allclose(torch.cat(first[:2]), got, atol=1e-4)
