"""What a mask hides is no ground to learn from, and has no label in the maps."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import geodeeplab as gdl
from tests.adaptation.drawn import SMALL, TRANSFORM, Drawn


@pytest.mark.slow
def test_hidden_ground(drawn: Drawn, tmp_path: Path) -> None:
    height, width = drawn.truth.shape
    hidden = np.zeros((height, width), np.uint8)
    hidden[:, 100:] = 1
    mask = tmp_path / "clouds.tif"
    profile = {"driver": "GTiff", "crs": "EPSG:32633", "transform": TRANSFORM, "dtype": "uint8", "count": 1}
    with rasterio.open(mask, "w", height=height, width=width, **profile) as dst:
        dst.write(hidden, 1)
    whole = gdl.adapt(drawn.scene, drawn.polygons, **SMALL)
    adapted = gdl.adapt(drawn.scene, drawn.polygons, mask=mask, **SMALL)
    assert 0 < len(adapted.cells) < len(whole.cells)
    assert len(adapted.ground) < len(whole.ground)
    adapted.segment(label_raster=tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as src:
        labels = src.read(1)
    assert np.array_equal(labels == 0, hidden == 1)
    assert (labels == drawn.truth + 1)[hidden == 0].mean() > 0.8
    with pytest.raises(gdl.OptionError, match="also an input"):
        adapted.segment(label_raster=mask, overwrite=True)
