from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabError, OptionError
from geodeeplab.raster import Pixels, RowReader, Scene, open_array, open_scene, reflect_indices
from geodeeplab.raster.decoding import iter_blocks
from geodeeplab.raster.sources.file import LEAST_ROWS, LEAST_ROWS_VRT, FileSource
from tests.examples import examples

MakeRaster = Callable[..., Path]


@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_reflect_indices_is_numpys_reflect_padding(length: int, before: int, after: int) -> None:
    x = np.arange(length) * 10
    padded = np.pad(x, (before, after), mode="reflect")
    assert np.array_equal(x[reflect_indices(-before, length + after, length)], padded)


@given(st.integers(1, 12), st.integers(-50, 50), st.integers(1, 50), st.integers(0, 20))
def test_reflect_indices_of_a_part_are_part_of_the_indices(length: int, start: int, count: int, shift: int) -> None:
    whole = reflect_indices(start, start + count + shift, length)
    assert np.array_equal(whole[shift:], reflect_indices(start + shift, start + shift + count, length))
    assert whole.min() >= 0
    assert whole.max() < length


def numbered(count: int, height: int, width: int) -> npt.NDArray[np.uint16]:
    return np.arange(count * height * width, dtype="uint16").reshape(count, height, width)


class Spy:
    """An open file that keeps the windows read of it."""

    def __init__(self, src: Any) -> None:  # noqa: ANN401 - a rasterio dataset
        self.src = src
        self.windows: list[Window] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.src, name)

    def read(self, indexes: list[int], *, window: Window) -> Any:  # noqa: ANN401
        self.windows.append(window)
        return self.src.read(indexes, window=window)

    def blocks(self) -> Counter[tuple[int, int]]:
        """How often each block of the file was touched."""
        shape, block_shape = self.src.shape, self.src.block_shapes[0]
        blocks = (b for w in self.windows for b in iter_blocks(w, block_shape=block_shape, shape=shape))
        return Counter((block.row_off, block.col_off) for block in blocks)


@contextmanager
def spied(path: Path) -> Iterator[tuple[Scene, Spy]]:
    with open_scene(path) as scene:
        yield scene, spy_on(scene)


def spy_on(scene: Scene) -> Spy:
    spy = Spy(cast(FileSource, scene.source)._src)
    cast(FileSource, scene.source)._src = spy
    return spy


def test_a_three_by_three_scene_reflected_on_all_sides(make_raster: MakeRaster) -> None:
    array = np.array([[[1, 2, 3], [4, 5, 6], [7, 8, 0]]], dtype="uint8")
    with open_scene(make_raster(array, nodata=0)) as scene:
        pixels = RowReader(scene).read(-1, 4, -1, 4)
    assert pixels.array.dtype == np.uint8
    assert pixels.array[0].tolist() == [
        [5, 4, 5, 6, 5],
        [2, 1, 2, 3, 2],
        [5, 4, 5, 6, 5],
        [8, 7, 8, 0, 8],
        [5, 4, 5, 6, 5],
    ]
    assert np.array_equal(pixels.valid, pixels.array[0] != 0)


def test_one_pixel_fills_any_window(make_raster: MakeRaster) -> None:
    with open_scene(make_raster(np.array([[[9]]], dtype="uint8"))) as scene:
        assert RowReader(scene).read(-3, 4, -2, 2).array.tolist() == [[[9] * 4] * 7]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, npt.NDArray[np.uint16]]]:
    """Scenes of several sizes and layouts, tall enough that rows are dropped."""
    folder = tmp_path_factory.mktemp("rows")
    made = []
    layouts: list[dict[str, Any]] = [
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"blockysize": 1},
        {"blockysize": 300, "compress": "deflate"},
        {"blockysize": 1000, "compress": "deflate", "interleave": "band"},
    ]
    for number, (layout, shape) in enumerate(
        (layout, shape) for layout in layouts for shape in [(1, 1), (2, 40), (37, 3), (700, 33)]
    ):
        array = numbered(2, *shape)
        path = folder / f"{number}.tif"
        options: dict[str, Any] = {"crs": "EPSG:32633", "transform": rasterio.Affine(1, 0, 5, 0, -1, 9), "nodata": 0}
        if not layout.get("tiled"):
            layout = layout | {"blockysize": min(layout["blockysize"], shape[0])}
        with rasterio.open(
            path, "w", driver="GTiff", count=2, height=shape[0], width=shape[1], dtype="uint16", **options, **layout
        ) as dst:
            dst.write(array)
        made.append((path, array))
    return made


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, 15),
    height=st.integers(1, 90),
    stride=st.integers(1, 90),
    start=st.integers(-100, 0),
    cols=st.tuples(st.integers(-50, 60), st.integers(1, 60)),
)
def test_a_lattice_of_windows_is_the_padded_scene_and_blocks_are_decoded_once(
    files: list[tuple[Path, npt.NDArray[np.uint16]]], which: int, height: int, stride: int, start: int,
    cols: tuple[int, int],
) -> None:  # fmt: skip
    path, array = files[which]
    total, width = array.shape[1:]
    with spied(path) as (scene, spy):
        reader = RowReader(scene, col_start=cols[0], col_stop=cols[0] + cols[1])
        step = -(-LEAST_ROWS // scene.block_shape[0]) * scene.block_shape[0]
        xs = reflect_indices(cols[0], cols[0] + cols[1], width)
        for row in range(start, total, stride):
            pixels = reader.read(row, row + height)
            expected = array[:, reflect_indices(row, row + height, total)][:, :, xs]
            assert np.array_equal(pixels.array, expected)
            assert np.array_equal(pixels.valid, (expected != 0).any(axis=0))
            assert reader.held_rows <= max(height, -row) + step
        assert set(spy.blocks().values()) == {1}
        columns = {col for _, col in spy.blocks()}
        block_width = scene.block_shape[1]
        assert columns == {x // block_width * block_width for x in range(int(xs.min()), int(xs.max()) + 1)}


def test_tiles_of_one_row_of_tiles_share_what_was_decoded(make_raster: MakeRaster) -> None:
    array = numbered(1, 64, 64)
    with spied(make_raster(array, tiled=True, blockxsize=16, blockysize=16)) as (scene, spy):
        reader = RowReader(scene)
        for row in range(0, 64, 24):
            for col in range(0, 64, 24):
                rows, cols = reflect_indices(row, row + 32, 64), reflect_indices(col, col + 32, 64)
                tile = reader.read(row, row + 32, col, col + 32)
                assert np.array_equal(tile.array, array[:, rows][:, :, cols])
        assert set(spy.blocks().values()) == {1}
        assert len(spy.blocks()) == 16


def test_low_strips_are_read_many_at_a_time(make_raster: MakeRaster) -> None:
    with spied(make_raster(numbered(1, 1000, 4), blockysize=1)) as (scene, spy):
        reader = RowReader(scene)
        for row in range(0, 1000, 10):
            reader.read(row, row + 10)
        assert [window.height for window in spy.windows] == [256, 256, 256, 232]


def test_high_blocks_are_read_one_at_a_time(make_raster: MakeRaster) -> None:
    path = make_raster(numbered(1, 1000, 4), blockysize=400, compress="deflate")
    with spied(path) as (scene, spy):
        reader = RowReader(scene)
        held = []
        for row in range(0, 1000, 100):
            reader.read(row, row + 100)
            held.append(reader.held_rows)
        assert [(window.row_off, window.height) for window in spy.windows] == [(0, 400), (400, 400), (800, 200)]
        assert max(held) <= 100 + 400


def test_reading_starts_in_the_middle_of_a_shard(make_raster: MakeRaster) -> None:
    array = numbered(1, 600, 40)
    path = make_raster(array, tiled=True, blockxsize=16, blockysize=16)
    with spied(path) as (scene, spy):
        reader = RowReader(scene, col_start=20, col_stop=30)
        assert np.array_equal(reader.read(530, 560).array, array[:, 530:560, 20:30])
        assert np.array_equal(reader.read(550, 580, 22, 25).array, array[:, 550:580, 22:25])
        assert {row for row, _ in spy.blocks()} == set(range(528, 600, 16))
        assert {col for _, col in spy.blocks()} == {16}
        assert set(spy.blocks().values()) == {1}


def test_what_a_taller_window_needs_again_is_decoded_again(make_raster: MakeRaster) -> None:
    array = numbered(1, 600, 2)
    with open_scene(make_raster(array, blockysize=1)) as scene:
        reader = RowReader(scene)
        reader.read(560, 600)
        assert np.array_equal(reader.read(590, 900).array, array[:, reflect_indices(590, 900, 600)])
        assert np.array_equal(reader.read(650, 660).array, array[:, reflect_indices(650, 660, 600)])


def test_a_vrt_is_read_in_taller_bands(make_raster: MakeRaster, tmp_path: Path) -> None:
    array = numbered(1, 1100, 3)
    source = make_raster(array)
    path = tmp_path / "scene.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="3" rasterYSize="1100"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>0, 1, 0, 0, 0, -1</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename>{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with spied(path) as (scene, spy):
        assert np.array_equal(RowReader(scene).read(0, 10).array, array[:, :10])
        assert spy.windows == [Window(0, 0, 3, LEAST_ROWS_VRT)]


def test_windows_are_copies(make_raster: MakeRaster) -> None:
    with open_scene(make_raster(numbered(1, 4, 4))) as scene:
        reader = RowReader(scene)
        first = reader.read(0, 4)
        first.array[:] = 0
        first.valid[:] = False
        assert np.array_equal(reader.read(0, 4).array, numbered(1, 4, 4))
        assert reader.read(0, 4).valid.all()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((5, 5), "rows run from a start to a greater stop, got 5-5"),
        ((6, 8, 3, 2), "columns run from a start to a greater stop, got 3-2"),
        ((4, 8), "read downwards, got row 4 after 5"),
        ((6, 8, 2, 9), "holds columns 2-7, got a window that needs 2-8"),
    ],
)
def test_refusals(make_raster: MakeRaster, args: tuple[int, ...], message: str) -> None:
    with open_scene(make_raster(numbered(1, 10, 10))) as scene:
        reader = RowReader(scene, col_start=2, col_stop=8)
        reader.read(5, 7)
        with pytest.raises(OptionError, match=message):
            reader.read(*args)


def test_an_empty_range_of_columns_is_refused(make_raster: MakeRaster) -> None:
    with open_scene(make_raster(numbered(1, 10, 10))) as scene, pytest.raises(OptionError, match="columns run"):
        RowReader(scene, col_start=4, col_stop=4)


REFUSED = {
    "au-gcp.tif": "gdalwarp -tps",
    "RGB.byte.gcp.vrt": "gdalwarp -tps",
    "RGB.byte.rpc.vrt": "gdalwarp -rpc",
    "cog_cmap.tif": "gdal_translate -expand rgb",
    "lc.tif": "gdal_translate -expand rgb",
    "BakerLake_2017_clipped.gpkg": "no raster",
}


@pytest.mark.filterwarnings("ignore::geodeeplab.errors.GeoDeepLabWarning")
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_files_read_as_rasterio_does_or_are_refused_for_a_reason(shared_data: Path) -> None:
    refused = {}
    for path in sorted((shared_data / "scenes").rglob("*.*")):
        try:
            scene = open_scene(path)
        except GeoDeepLabError as error:
            refused[path.name] = str(error)
            continue
        with scene, rasterio.Env(), rasterio.open(path) as src:
            spy = spy_on(scene)
            array = src.read([band.number for band in scene.bands])
            nan = np.isnan(array).any(axis=0)
            valid = (src.dataset_mask() != 0) & ~nan
            reader = RowReader(scene)
            for row in range(0, src.height, 500):
                rows = reflect_indices(row, row + 600, src.height)
                pixels = reader.read(row, row + 600)
                assert np.array_equal(pixels.array, array[:, rows], equal_nan=array.dtype.kind == "f"), path
                assert np.array_equal(pixels.valid, valid[rows]), path
            assert set(spy.blocks().values()) == {1}, path
    assert refused.keys() == REFUSED.keys()
    for name, reason in REFUSED.items():
        assert reason in refused[name]


def test_a_window_is_read_into_whatever_type_and_place_it_is_wanted_in() -> None:
    with open_array(numbered(2, 9, 11), valid=numbered(1, 9, 11)[0] % 3 > 0) as scene:
        expected = RowReader(scene).read(5, 12, 8, 14)
        out = Pixels(array=np.full((2, 7, 10), -1.0, dtype="float32")[..., 2:8], valid=np.zeros((7, 6), dtype=bool))
        RowReader(scene, col_stop=14).read_into(out, 5, 8)
        assert np.array_equal(out.array, expected.array)
        assert np.array_equal(out.valid, expected.valid)
