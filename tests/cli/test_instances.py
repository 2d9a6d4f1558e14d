"""Objects that touch, on the command line."""

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

MakeRaster = Callable[..., Path]


@pytest.fixture
def rasters(make_raster: MakeRaster) -> tuple[Path, Path]:
    """Two houses of 8 × 8 px side by side, and the boundary between them."""
    labels, boundary = np.ones((1, 8, 16), np.uint8), np.zeros((1, 8, 16), np.uint8)
    boundary[0, :, 7:9] = 200
    return make_raster(labels, "labels.tif"), make_raster(boundary, "boundary.tif")


def test_houses_become_polygons_of_their_own(
    run: Callable[..., object], rasters: tuple[Path, Path], tmp_path: Path
) -> None:
    labels, boundary = rasters
    out = tmp_path / "houses.gpkg"
    told = ("vectorize", labels, "-o", out, "--boundary", boundary, "--instances", "1", "--overwrite")
    for options, areas in (
        ((), [64, 64]),
        (("--boundary-threshold", "0.9"), [128]),
        (("--min-marker-px", "57"), [128]),
    ):
        assert run(*told, *options).status == 0  # type: ignore[attr-defined]
        assert gpd.read_file(out, layer="landcover").area.tolist() == areas


def test_what_is_missing_is_named_as_options_are(
    expect_refused: Callable[..., None], rasters: tuple[Path, Path], tmp_path: Path
) -> None:
    labels, boundary = rasters
    told = ("vectorize", labels, "-o", tmp_path / "houses.gpkg")
    expect_refused(*told, "--instances", "1", match="give a raster of them, --boundary")
    expect_refused(*told, "--boundary", boundary, match="say of which classes, --instances, too")
    expect_refused(*told, "--min-marker-px", "3", match="say of which classes, --instances, too")
