"""Squared polygons from a label raster, by class name, on maps in metres and in degrees."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity
from affine import Affine
from click.testing import CliRunner
from rasterio.features import rasterize

import geodeeplab as gdl
from geodeeplab.cli import commands
from geodeeplab.vector import InstanceCodes, Metric, SquareRule


def write_house(path: Path, transform: Affine, crs: str) -> Path:
    """Write a raster with a house of 24 × 15 m, turned by 25°, in a garden; pixels are 0.5 m on the ground."""
    house = shapely.affinity.rotate(shapely.box(8, 12, 32, 27), 25)
    labels = np.full((80, 80), 1, np.uint8)
    rasterize([(shapely.affinity.scale(house, 2, 2, origin=(0, 0)), 2)], out=labels)
    options = {"driver": "GTiff", "width": 80, "height": 80, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", transform=transform, crs=crs, **options) as dst:
        dst.write(labels, 1)
    path.with_name(f"{path.name}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>none</Category><Category>garden</Category>'
        "<Category>house</Category></CategoryNames></PAMRasterBand></PAMDataset>"
    )
    return path


def most_askew(polygons: gpd.GeoDataFrame) -> float:
    """Give the largest cosine of an angle of the one house, which has four."""
    (house,) = polygons[polygons.class_name == "house"].geometry
    edges = np.diff(shapely.get_coordinates(house), axis=0)
    assert len(edges) == 4
    edges /= np.hypot(edges[:, 0], edges[:, 1])[:, None]
    return float(np.abs((edges * np.roll(edges, 1, axis=0)).sum(axis=1)).max())


def test_a_house_is_squared_by_name(tmp_path: Path) -> None:
    path = write_house(tmp_path / "a.tif", Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000), "EPSG:32633")
    options = gdl.PolygonOptions(tolerance_px=1.5, square=["house"])
    squared = gdl.vectorize(path, tmp_path / "a.gpkg", options).polygons
    assert most_askew(squared) < 1e-6
    by_id = gdl.vectorize(path, tmp_path / "b.gpkg", gdl.PolygonOptions(tolerance_px=1.5, square=[2])).polygons
    assert list(by_id.geometry) == list(squared.geometry)
    assert shapely.coverage_is_valid(squared.geometry.values)


def test_angles_are_right_on_the_ground_where_the_map_is_in_degrees(tmp_path: Path) -> None:
    degree_m = 111_200.0
    step = 0.5 / degree_m
    path = write_house(tmp_path / "a.tif", Affine(2 * step, 0, 15, 0, -step, 60), "EPSG:4326")
    squared = gdl.vectorize(path, tmp_path / "a.gpkg", gdl.PolygonOptions(tolerance_px=1.5, square=["house"])).polygons
    assert most_askew(squared.to_crs(32633)) < 1e-3  # the projection is true to angles, the Earth no sphere
    assert most_askew(squared) > 0.1


def test_the_command_line_squares(tmp_path: Path) -> None:
    path = write_house(tmp_path / "a.tif", Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000), "EPSG:32633")
    arguments = ["vectorize", str(path), "-o", str(tmp_path / "a.gpkg"), "--tolerance-px", "1.5", "--square"]
    result = CliRunner().invoke(commands, [*arguments, "house"])
    assert result.exit_code == 0, result.output
    assert most_askew(gpd.read_file(tmp_path / "a.gpkg", layer="landcover")) < 1e-6


def test_an_unknown_class_is_refused_before_any_work(tmp_path: Path) -> None:
    path = write_house(tmp_path / "a.tif", Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000), "EPSG:32633")
    with pytest.raises(gdl.OptionError, match="names 'shed', which is no class; there are garden, house: give some"):
        gdl.vectorize(path, tmp_path / "a.gpkg", gdl.PolygonOptions(tolerance_px=1, square=["shed"]))
    assert not (tmp_path / "a.gpkg").exists()


def test_objects_that_are_told_apart_are_square_too() -> None:
    codes = InstanceCodes(class_ids=(3, 5))
    labels = codes.of(np.array([0, 1, 2]), np.array([0, 1, 0], np.uint8))
    rule = SquareRule(class_ids=[3], tolerance_px=1.5, metric=Metric.pixels(), codes=codes)
    assert rule.is_square(np.append(labels, np.array([3, 5, 0], np.int32))).tolist() == [1, 0, 1, 1, 0, 0]
