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


def test_each_scene_of_a_folder_has_its_objects_and_boundaries(
    run: Callable[..., object],
    separating: Path,
    make_raster: MakeRaster,
    blocks: Callable[..., np.ndarray],
    tmp_path: Path,
) -> None:
    (tmp_path / "scenes").mkdir()
    for seed, name in enumerate("ab"):
        make_raster(blocks(70, 80, seed=seed), f"scenes/{name}.tif", photometric="rgb")
    told = ("--model", separating, "--instances", "roof", "--min-marker-px", "4")
    folder = f"{tmp_path / 'out'}/"
    ran = run("segment", tmp_path / "scenes", "-o", folder, "--label-raster", folder, "--boundary", folder, *told)
    assert ran.status == 0  # type: ignore[attr-defined]
    for name in "ab":
        path = tmp_path / "again.gpkg"
        again = ("vectorize", f"{folder}{name}.tif", "-o", path, "--boundary", f"{folder}{name}_boundary.tif")
        assert run(*again, *told[2:], "--overwrite").status == 0  # type: ignore[attr-defined]
        first, second = (gpd.read_file(one, layer="landcover") for one in (f"{folder}{name}.gpkg", path))
        assert list(first.geometry) == list(second.geometry)
