"""The label rasters that are measured on, and what the programs around them count."""

import sqlite3
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rasterio.features import shapes
from shapely.geometry import shape

import polygons as bench
from figures import polygons as pictures
from geodeeplab.raster import open_scene, read_classes
from label_rasters import CLASSES, KINDS, iter_label_rows, parse_shape, write_label_raster
from polygon_check import check
from polygon_peer import write_polygons
from polygon_process import Round, Run, run_once


def draw(kind: str, height: int, width: int, *, seed: int = 0, band_rows: int = 512) -> NDArray[np.uint8]:
    return np.vstack(list(iter_label_rows(kind, (height, width), seed=seed, band_rows=band_rows)))


def traced(labels: NDArray[np.uint8], label: int | None = None) -> list[shapely.Polygon]:
    mask = labels != 0 if label is None else labels == label
    return [shape(one) for one, _ in shapes(labels, mask=mask)]


# ---------------------------------------------------------------------------------------------------------------------
# Label rasters


@given(
    st.sampled_from(sorted(KINDS)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 3),
    st.integers(1, 91),
    st.integers(1, 3),
)
def test_bands_and_threads_do_not_show(
    kind: str, shape: tuple[int, int], seed: int, band_rows: int, threads: int
) -> None:
    bands = list(iter_label_rows(kind, shape, seed=seed, band_rows=band_rows, threads=threads))
    assert all(len(band) == band_rows for band in bands[:-1])
    labels = np.vstack(bands)
    assert labels.shape == shape
    np.testing.assert_array_equal(labels, draw(kind, *shape, seed=seed))


def test_land_cover_looks_like_land_cover() -> None:
    labels = draw("landcover", 1024, 1024)
    shares = np.bincount(labels.ravel(), minlength=8) / labels.size
    assert len(shares) == len(CLASSES) + 1
    assert 0.002 < shares[0] < 0.2
    assert (shares[1:7] > 0.05).all()
    assert 0.005 < shares[7] < 0.1
    found = traced(labels)
    coordinates = shapely.get_num_coordinates(found).sum()
    assert 3500 < len(found) < 5500  # the budgets' 70,000 and 3.1 million, a sixteenth of them
    assert 150_000 < coordinates < 250_000
    assert max(len(one.interiors) for one in found) > 20
    assert (shapely.area(found) == 1).sum() > 100


def test_land_cover_depends_on_the_seed() -> None:
    assert (draw("landcover", 64, 64, seed=1) != draw("landcover", 64, 64, seed=2)).mean() > 0.5


def test_noise_is_every_class_alike() -> None:
    shares = np.bincount(draw("noise", 256, 256).ravel(), minlength=8) / 256**2
    assert shares[0] == 0
    np.testing.assert_allclose(shares[1:], 1 / 7, atol=0.01)


def test_each_arm_of_the_spiral_is_one_long_polygon() -> None:
    labels = draw("spiral", 128, 128)
    for label in (1, 2):
        arm = max(traced(labels, label), key=lambda one: float(one.area))
        assert arm.area > 0.35 * labels.size
        assert len(arm.interiors) == 0
        assert len(arm.exterior.coords) > 0.1 * labels.size


def test_holes_are_in_one_polygon() -> None:
    (one,) = traced(draw("holes", 9, 12))
    assert len(one.interiors) == 4 * 5  # odd rows and columns but for the last: never at the edge
    (one,) = traced(draw("holes", 8, 11))
    assert len(one.interiors) == 3 * 5


def test_the_checker_has_a_polygon_a_pixel() -> None:
    assert len(traced(draw("checker", 7, 5))) == 35


def test_a_label_raster_is_tiled_and_knows_its_classes(tmp_path: Path) -> None:
    path = write_label_raster(tmp_path / "labels.tif", "landcover", (700, 600), seed=3)
    with rasterio.open(path) as src:
        np.testing.assert_array_equal(src.read(1), draw("landcover", 700, 600, seed=3))
        assert src.block_shapes == [(512, 512)]
        assert (src.nodata, src.crs.to_epsg()) == (0, 32633)
        assert src.colormap(1)[1] == (*CLASSES[0].color, 255)
    with open_scene(path, allow_palette=True) as scene:
        assert tuple(read_classes(scene)) == CLASSES


def test_a_shape_is_height_by_width() -> None:
    assert parse_shape("20x30") == (20, 30)


# ---------------------------------------------------------------------------------------------------------------------
# Runs


def test_a_run_is_timed_and_its_last_words_kept(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("of before")
    script = f"import pathlib; path = pathlib.Path({str(output)!r}); assert not path.exists(); path.touch()"
    run = run_once([sys.executable, "-c", script], output, timeout=60)
    assert not run.error
    assert run.seconds > 0
    assert run.peak > 1e6
    run = run_once([sys.executable, "-c", "import sys; print('one'); sys.exit('two\\nthree')"], output, timeout=60)
    assert run.error == "three (exit status 1)"


def test_a_run_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    run = run_once([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "out", timeout=0.1)
    assert run.error == "no message (exit status -9)"


def test_the_table_takes_off_the_start_and_compares_round_by_round() -> None:
    start = Run(seconds=1.0, peak=100_000_000)

    def turn(seconds: float, peak: int) -> Round:
        return Round(run=Run(seconds=seconds, peak=peak), start=start)

    rounds = {
        "ours": [turn(2.0, 200_000_000), turn(3.0, 200_000_000), turn(2.0, 200_000_000)],
        "rasterio": [turn(11.0, 400_000_000), turn(11.0, 400_000_000), turn(13.0, 400_000_000)],
        "gdal": [Round(run=Run(seconds=1.0, peak=1, error="no such file"), start=start)],
    }
    facts = {"ours": {"polygons": 3, "bytes": 1_500_000}, "rasterio": {"polygons": 4000, "bytes": 1, "faulty": 5}}
    lines = bench.table("land", 2.0, rounds, facts).splitlines()
    assert lines[0] == "land, 3 rounds"
    assert lines[4] == "| ours | 1.00 | 1.00 | 0.5000 | 1.00 s, 100 MB | 100 | 1.00 | 200 | 3 |  | 1.5 |  |  |"
    assert (
        lines[5] == "| rasterio | 10.00 | 10.00 | 5.0000 | 1.00 s, 100 MB | 300 | 3.00 | 400 | 4,000 |  | 0.0 |  | 5 |"
    )
    assert lines[6].startswith("| gdal | no such file |")


def test_ours_takes_more_options() -> None:
    command = bench.commands(Namespace(tolerance_px=1.5, extra="--smooth --band 2"))["ours"]
    tail = ["labels.tif", "-o", "out.gpkg", "--tolerance-px", "1.5", "--smooth", "--band", "2"]
    assert command(Path("labels.tif"), Path("out.gpkg"))[-len(tail) :] == tail


def test_the_usual_way_writes_what_is_checked(tmp_path: Path) -> None:
    labels = write_label_raster(tmp_path / "labels.tif", "landcover", (64, 64))
    write_polygons(labels, tmp_path / "exact.gpkg", tolerance_px=None)
    write_polygons(labels, tmp_path / "simplified.gpkg", tolerance_px=1.0)
    with rasterio.open(labels) as src:
        pixels = src.read(1)
    facts = bench.facts_of(tmp_path / "exact.gpkg", Namespace(no_check=True))
    assert facts["polygons"] == len(traced(pixels))
    with sqlite3.connect(tmp_path / "simplified.gpkg") as database:
        (area,) = database.execute("SELECT sum(area_m2) FROM landcover").fetchone()
    assert area == pytest.approx((pixels != 0).sum(), rel=0.02)


def test_what_is_wrong_with_polygons_is_counted() -> None:
    squares = shapely.box([0, 1], [0, 0], [1, 2], [1, 1])
    assert check(squares) == {"polygons": 2, "coordinates": 10, "invalid": 0, "faulty": 0, "area": 2.0}
    with_missing_vertex = np.array([*squares, shapely.box(0, 1, 2, 2)])
    assert check(with_missing_vertex)["faulty"] == 3
    bow_tie = np.array([shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])])
    assert check(bow_tie)["invalid"] == 1


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def a_crop(labels: list[list[int]], *, first_row: int = 0, first_col: int = 0) -> pictures.Crop:
    array = np.array(labels, np.uint8)
    colours = np.full((*array.shape, 3), 200, np.uint8)
    transform = Affine(2, 0, 100, 0, -2, 50)
    return pictures.Crop(
        labels=array, colours=colours, first_row=first_row, first_col=first_col, transform=transform, nodata=0
    )


def test_junctions_are_where_three_lines_meet() -> None:
    labels = np.array([[1, 1, 2], [1, 3, 2], [3, 1, 2]], np.uint8)
    np.testing.assert_array_equal(pictures.junctions(labels), [[False, True], [True, True]])


def test_gaps_and_overlaps_are_found_away_from_nodata() -> None:
    crop = a_crop([[1, 1, 2, 2], [1, 1, 2, 0]], first_row=10, first_col=20)
    left, right = shapely.box(20, 10, 22.5, 12), shapely.box(22, 10, 24, 11)
    gaps, overlaps = pictures.gaps_and_overlaps(np.array([left, right]), crop)
    assert not gaps  # what the second leaves out touches nodata
    assert [shapely.area(one) for one in overlaps] == [0.5]
    gaps, overlaps = pictures.gaps_and_overlaps(np.array([left.buffer(-0.25, join_style="mitre")]), a_crop([[1]]))
    assert [shapely.area(one) for one in gaps] == [1.0]
    assert not overlaps


def test_a_picture_has_a_panel_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = write_label_raster(tmp_path / "labels.tif", "landcover", (48, 64))
    write_polygons(labels, tmp_path / "exact.gpkg", tolerance_px=None)
    paths = [str(tmp_path / "exact.gpkg")] * 2
    command = ["polygons.py", str(labels), "-o", str(tmp_path / "out.png"), "--layers", *paths]
    monkeypatch.setattr(sys, "argv", [*command, "--window", "8", "16", "20", "30"])
    pictures.main()
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (2 * 30 * 8, 20 * 8 + pictures.TITLE_PX)


def test_the_crop_with_most_junctions_is_chosen() -> None:
    labels = np.ones((8, 12), np.uint8)
    labels[5, 9] = 2
    labels[5, 10] = 3
    assert pictures.find_junctions(labels, 4) == (4, 8, 4, 4)
