from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.merge import merge
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.sources import mosaic
from geodeeplab.raster.sources.members import lazy_member, member_of
from geodeeplab.raster.sources.mosaic import MosaicSource, join, open_mosaic
from geodeeplab.raster.sources.remote import open_file, open_file_source
from geodeeplab.raster.sources.source import Pixels, Source
from tests.examples import examples, few

MakeRaster = Callable[..., Path]
NORTH_UP = Affine(1, 0, 500_000, 0, -1, 5_000_000)
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3)
PAIR = ("mosaic_cog1.tif", "mosaic_cog2.tif")


def at(row: float, col: float, transform: Affine = NORTH_UP) -> Affine:
    return transform @ Affine.translation(col, row)


def read(source: Source) -> Pixels:
    numbers = [band.number for band in source.bands if not band.is_alpha]
    return source.read(Window(0, 0, source.grid.width, source.grid.height), numbers)


def noise(height: int, width: int, *, bands: int = 2, seed: int = 0, holes: float = 0.0) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    array = rng.integers(1, 256, (bands, height, width), dtype=np.uint8)
    array[:, rng.random((height, width)) < holes] = 0
    return array


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five overlapping parts with holes and a gap between them, on one rotated grid."""
    folder = tmp_path_factory.mktemp("mosaic")
    paths = []
    for index, (row, col, height, width) in enumerate(
        [(5, 0, 20, 30), (0, 20, 33, 17), (-7, 3, 9, 25), (40, 40, 9, 8), (10, 10, 15, 40)]
    ):
        paths.append(folder / f"{index}.tif")
        profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 2, "height": height, "width": width}
        profile |= {"nodata": 0, "crs": "EPSG:32633", "transform": at(row, col, ROTATED)}
        with rasterio.open(paths[-1], "w", **profile) as dst:
            dst.write(noise(height, width, seed=index, holes=0.3))
    return paths


@settings(max_examples=examples(50))
@given(data=st.data())
def test_a_pixel_does_not_depend_on_the_window(parts: list[Path], data: st.DataObject) -> None:
    source = open_mosaic(parts)  # anew, as one that was read may have its parts open
    numbers = data.draw(st.sampled_from([[1, 2], [2], [2, 1, 1]]))
    height, width = source.grid.shape
    pixels = source.read(Window(0, 0, width, height), numbers)
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(col, row, data.draw(st.integers(1, width - col)), data.draw(st.integers(1, height - row)))
    part = source.read(window, numbers)
    rows, cols = window.toslices()
    assert np.array_equal(part.array, pixels.array[:, rows, cols])
    assert np.array_equal(part.valid, pixels.valid[rows, cols])
    source.close()


def test_the_first_valid_part_gives_the_pixel(parts: list[Path]) -> None:
    source = open_mosaic(parts)
    pixels = read(source)
    assert source.grid.shape == (56, 50)
    array, valid = np.zeros_like(pixels.array), np.zeros_like(pixels.valid)
    for path in parts:
        with rasterio.open(path) as src:
            col, row = (round(value) for value in ~source.grid.transform @ (src.transform.c, src.transform.f))
            window = np.s_[row : row + src.height, col : col + src.width]
            fill = (src.read() != 0).any(axis=0) & ~valid[window]
            array[:, *window][:, fill] = src.read()[:, fill]
            valid[window] |= fill
    assert np.array_equal(pixels.valid, valid)
    assert np.array_equal(pixels.array, array)


@settings(max_examples=examples(25))
@given(
    places=st.lists(st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 9)] * 2), min_size=1, max_size=5),
    masked=st.booleans(),
)
def test_rasterio_merges_the_same(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int, int, int]], masked: bool
) -> None:
    paths = []
    for index, (row, col, height, width) in enumerate(places):
        paths.append(tmp_path_factory.getbasetemp() / f"merge{index}.tif")
        profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": height, "width": width}
        profile |= {"nodata": 0, "crs": "EPSG:32633", "transform": at(row, col)}
        with rasterio.open(paths[-1], "w", **profile) as dst:
            dst.write(noise(height, width, bands=1, seed=index, holes=0.4 if masked else 0))
    source = open_mosaic(paths)
    expected, transform = merge(paths, method="first")
    pixels = read(source)
    assert source.grid.transform == transform
    assert np.array_equal(pixels.array, expected)
    assert np.array_equal(pixels.valid, expected[0] != 0)
    source.close()


def test_one_file_is_itself(make_raster: MakeRaster) -> None:
    path = make_raster(noise(4, 5), names=("a", "b"), nodata=0)
    source = open_mosaic([path])
    alone = open_file(str(path))
    assert (source.path, source.grid, source.bands, source.files) == (str(path), alone.grid, alone.bands, alone.files)
    assert np.array_equal(read(source).array, read(alone).array)


def test_what_a_mosaic_says_of_itself(make_raster: MakeRaster) -> None:
    options: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 32, "nodata": 7}
    first = make_raster(noise(40, 40), "a.tif", **options)
    second = make_raster(noise(40, 40), "b.tif", transform=at(-3, 40), **options | {"blockxsize": 64})
    with rasterio.open(second, "r+") as dst:
        dst.update_tags(only="here")
    source = open_mosaic([first, second])
    assert source.path == f"{first} and 1 more"
    assert source.driver == "mosaic"
    assert source.grid.shape == (43, 80)
    assert source.grid.transform == at(-3, 0)
    assert source.tags == {"AREA_OR_POINT": "Area"}
    assert source.files == (str(first), str(second))
    assert source.block_shape([1]) == (32, 64)
    assert not source.is_all_valid([1])
    assert {band.nodata for band in source.bands} == {7}
    assert open_mosaic([make_raster(noise(3, 3), "c.tif")]).is_all_valid([1])


def test_gaps_hold_nodata_that_parts_agree_on(make_raster: MakeRaster) -> None:
    def pair(first: float, second: float) -> list[Path]:
        return [
            make_raster(noise(1, 1), "a.tif", nodata=first),
            make_raster(noise(1, 1), "b.tif", transform=at(0, 2), nodata=second),
        ]

    source = open_mosaic(pair(9, 9))
    assert read(source).array[:, 0, 1].tolist() == [9, 9]
    assert read(source).valid.tolist() == [[True, False, True]]
    source = open_mosaic(pair(9, 8))
    assert source.bands[0].nodata is None
    assert read(source).array[:, 0, 1].tolist() == [0, 0]


def test_scales_that_differ_are_brought_to_the_first(make_raster: MakeRaster) -> None:
    first = make_raster(np.array([[[1000, 2000]]], dtype="uint16"), "a.tif", nodata=0)
    second = make_raster(np.array([[[3000, 0, 1000]]], dtype="uint16"), "b.tif", nodata=0, transform=at(0, 1))
    for path, scale, offset in ((first, 1e-4, 0.0), (second, 1e-4, -0.1)):
        with rasterio.open(path, "r+") as dst:
            dst.scales, dst.offsets = [scale], [offset]
    source = open_mosaic([first, second])
    band = source.bands[0]
    assert (band.dtype, band.scale, band.offset, band.nodata) == (np.dtype("float32"), 1e-4, 0, None)
    pixels = read(source)
    assert pixels.array.dtype == np.dtype("float32")
    assert pixels.array[0, 0].tolist() == [1000, 2000, 0, pytest.approx(0, abs=1e-3)]
    assert pixels.valid.tolist() == [[True, True, False, True]]


def test_types_of_one_sort_are_joined(make_raster: MakeRaster) -> None:
    first = make_raster(np.array([[[-5]]], dtype="int16"), "a.tif")
    second = make_raster(np.array([[[60_000]]], dtype="uint16"), "b.tif", transform=at(0, 1))
    pixels = read(open_mosaic([first, second]))
    assert pixels.array.dtype == np.dtype("int32")
    assert pixels.array.tolist() == [[[-5, 60_000]]]


def test_masks_and_alpha_of_parts(make_raster: MakeRaster) -> None:
    array = np.array([[[9, 9]], [[0, 255]]], dtype="uint8")
    first = make_raster(array, "a.tif", colorinterp=("gray", "alpha"))
    second = make_raster(np.array([[[8, 7]], [[255, 0]]], dtype="uint8"), "b.tif", colorinterp=("gray", "alpha"))
    pixels = open_mosaic([first, second]).read(Window(0, 0, 2, 1), [1])
    assert pixels.array.tolist() == [[[8, 9]]]
    assert pixels.valid.all()


def test_grids_that_nearly_coincide(make_raster: MakeRaster) -> None:
    first = make_raster(noise(4, 4), "a.tif")
    assert open_mosaic([first, make_raster(noise(4, 4), "b.tif", transform=at(2.009, 4))]).grid.shape == (6, 8)
    with pytest.raises(SceneError, match=r"'.*c\.tif' are shifted by 0 columns and 0\.011 rows against those of '.*a"):
        open_mosaic([first, make_raster(noise(4, 4), "c.tif", transform=at(2.011, 4))])


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (at(0.5, 0), "shifted by 0 columns and 0.5 rows against"),
        (at(0, 0) @ Affine.scale(2), "have the size 2 x 2 instead of 1 x 1 of"),
        (at(0, 0) @ Affine.scale(1.01), "have the size 1.01 x 1.01 instead of 1 x 1 of"),
        (at(0, 0) @ Affine.rotation(5), "turned or mirrored"),
        (at(0, 0) @ Affine.scale(1, -1), "turned or mirrored"),
    ],
    ids=["half a pixel", "twice as large", "a little larger", "rotated", "south-up"],
)
def test_grids_that_differ_are_refused(make_raster: MakeRaster, transform: Affine, message: str) -> None:
    paths = [make_raster(noise(4, 4), "a.tif"), make_raster(noise(4, 4), "b.tif", transform=transform)]
    with pytest.raises(SceneError, match=rf"b\.tif' .*{message}.*a\.tif': .*`grid_crs='EPSG:32633'` or `gsd_m=METRES`"):
        open_mosaic(paths)
    assert read(open_mosaic(paths, gsd_m=1)).valid.any()


@pytest.mark.parametrize("crs", ["EPSG:32634", None])
def test_crs_that_differ_are_refused(make_raster: MakeRaster, crs: str | None) -> None:
    paths = [make_raster(noise(4, 4), "a.tif"), make_raster(noise(4, 4), "b.tif", crs=crs)]
    for gsd_m in (None, 1.0):
        with pytest.raises(
            SceneError, match=r"a\.tif' has EPSG:32633 and '.*b\.tif' has (EPSG:32634|none).*`grid_crs="
        ):
            open_mosaic(paths, gsd_m=gsd_m)


@pytest.mark.parametrize(
    "options",
    [{"bands": 3}, {"names": ("red", "blue")}, {"dtype": "uint16"}, {"colorinterp": ("gray", "alpha")}],
    ids=["number", "names", "types", "alpha"],
)
def test_bands_that_differ_are_refused(make_raster: MakeRaster, options: dict[str, Any]) -> None:
    first = make_raster(noise(4, 4), "a.tif")
    array = noise(4, 4, bands=options.pop("bands", 2)).astype(options.pop("dtype", "uint8"))
    with pytest.raises(
        SceneError, match=r"have the same bands, but '.*a\.tif' has 1, 2 \(uint8\) and '.*b\.tif' 1.*-ot"
    ):
        open_mosaic([first, make_raster(array, "b.tif", **options)])


def test_parts_without_a_place_are_refused(make_raster: MakeRaster) -> None:
    path = make_raster(noise(4, 4), transform=None, crs=None)
    with pytest.raises(SceneError, match=r"scene\.tif' has no transform, so it has no place in a mosaic"):
        open_mosaic([path, path])


def test_no_parts_are_refused() -> None:
    with pytest.raises(OptionError, match="at least one part, got none"):
        open_mosaic([])
    with pytest.raises(OptionError, match="at least one part, got none"):
        MosaicSource([])


def test_a_missing_file_is_named(make_raster: MakeRaster, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"gone\.tif' does not exist"):
        open_mosaic([make_raster(noise(4, 4)), tmp_path / "gone.tif"])


class Counting:
    """Opens files, and knows which ones are open."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.open: set[str] = set()

    def __call__(self, path: str, *, measured: Collection[int] | None = None) -> Source:
        source = open_file(path, measured=measured)
        close = source.close

        def forget() -> None:
            self.open.discard(path)
            close()

        source.close = forget  # type: ignore[method-assign]
        self.opened.append(path)
        self.open.add(path)
        return source


def test_few_parts_are_open_at_a_time(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic, "MOST_OPEN", 3)
    paths = [make_raster(noise(2, 2, seed=i), f"{i}.tif", transform=at(0, 2 * i)) for i in range(6)]
    opener = Counting()
    monkeypatch.setattr(mosaic, "open_file", opener)
    source = open_mosaic(paths)
    assert not opener.open
    opener.opened.clear()
    for i in (0, 1, 2, 0, 3, 0, 1):
        pixels = source.read(Window(2 * i, 0, 2, 2), [1, 2])
        assert np.array_equal(pixels.array, noise(2, 2, seed=i))
        assert len(opener.open) <= 3
    assert [Path(path).stem for path in opener.opened] == ["0", "1", "2", "3", "1"]
    assert np.array_equal(read(source).array, np.concatenate([noise(2, 2, seed=i) for i in range(6)], axis=2))
    source.close()
    source.close()
    assert not opener.open


def test_parts_under_others_are_not_opened(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [make_raster(noise(4, 4, seed=i), f"{i}.tif") for i in range(2)]
    opener = Counting()
    monkeypatch.setattr(mosaic, "open_file", opener)
    source = open_mosaic(paths)
    opener.opened.clear()
    read(source)
    assert opener.opened == [str(paths[0])]


def test_open_sources_stay_open(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic, "MOST_OPEN", 1)
    sources = [open_file_source(str(make_raster(noise(2, 2), f"{i}.tif", transform=at(0, 2 * i)))) for i in range(3)]
    source = MosaicSource([member_of(one) for one in sources])
    read(source)
    assert not any(one._src.closed for one in sources)
    source.close()
    assert all(one._src.closed for one in sources)


def test_open_sources_are_closed_though_never_read(make_raster: MakeRaster) -> None:
    opened = open_file_source(str(make_raster(noise(2, 2))))
    join([member_of(opened)], grid_crs="EPSG:3857").close()
    assert opened._src.closed


def test_a_part_that_cannot_be_described_is_closed(make_raster: MakeRaster) -> None:
    opener = Counting()
    part = lazy_member(lambda: opener(str(make_raster(noise(2, 2)))))
    assert part.grid.shape == (2, 2)
    assert not opener.open


@pytest.mark.parametrize("options", few([{"gsd_m": 300.0}, {"grid_crs": "EPSG:3857"}], 1))
def test_a_real_pair_is_warped_onto_one_grid(shared_data: Path, options: dict[str, Any]) -> None:
    paths = [shared_data / "scenes" / "rio-tiler" / name for name in PAIR]
    with pytest.raises(SceneError, match=r"mosaic_cog2\.tif' are shifted by -0\.0519 columns"):
        open_mosaic(paths)
    source = cast(MosaicSource, open_mosaic(paths, **options))
    pixels = read(source)
    array, valid = np.zeros_like(pixels.array), np.zeros_like(pixels.valid)
    place = {"crs": source.grid.crs, "transform": source.grid.transform}
    place |= {"height": source.grid.height, "width": source.grid.width}
    for path in paths:
        with (
            rasterio.open(path) as src,
            WarpedVRT(src, resampling=Resampling.bilinear, tolerance=1e-4, XSCALE=1, YSCALE=1, **place) as vrt,
        ):
            fill = (vrt.dataset_mask() != 0) & ~valid
            array[:, fill] = vrt.read()[:, fill]
            valid |= fill
    assert np.array_equal(pixels.valid, valid)
    assert np.abs(pixels.array.astype(int) - array)[:, valid].max() <= 3  # of 20,000: 0.001 of a pixel
