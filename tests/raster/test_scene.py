from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.env import get_gdal_config
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster import Scene, open_scene
from geodeeplab.raster.decoding import BLOCK_CACHE_BYTES, iter_blocks
from geodeeplab.raster.sources.file import FileSource

MakeRaster = Callable[..., Path]
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
LAYOUTS: list[dict[str, Any]] = [
    {"interleave": interleave, **layout, **compression}
    for interleave, layout, compression in product(
        ["pixel", "band"],
        [{"tiled": True, "blockxsize": 16, "blockysize": 32}, {"blockysize": 1}, {"blockysize": 7}, {"blockysize": 61}],
        [{}, {"compress": "deflate"}],
    )
]


def noise(count: int, height: int, width: int, dtype: str = "uint8") -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, 100, (count, height, width)).astype(dtype)


def whole(scene: Scene) -> Window:
    return Window(0, 0, scene.shape[1], scene.shape[0])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(str(value) for value in layout.values()))
def test_every_layout_reads_as_rasterio_does(make_raster: MakeRaster, layout: dict[str, Any]) -> None:
    path = make_raster(noise(3, 61, 45), **layout)
    with open_scene(path) as scene, rasterio.open(path) as src:
        for window in [Window(0, 0, 45, 61), Window(3, 5, 20, 31), Window(44, 60, 1, 1)]:
            pixels = scene.read(window)
            assert np.array_equal(pixels.array, src.read(window=window))
            assert pixels.valid.shape == (window.height, window.width)
            assert pixels.valid.all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_read_as_it_is(make_raster: MakeRaster, dtype: str) -> None:
    array = noise(2, 5, 4, dtype)
    with open_scene(make_raster(array)) as scene:
        assert scene.dtype == np.dtype(dtype)
        pixels = scene.read(whole(scene))
    assert pixels.array.dtype == np.dtype(dtype)
    assert np.array_equal(pixels.array, array)


def test_what_a_scene_says_of_itself(make_raster: MakeRaster) -> None:
    path = make_raster(noise(4, 5, 4), names=("Red", "Green", "Blue", "NIR"), nodata=7)
    with rasterio.open(path, "r+") as dst:
        dst.scales, dst.offsets = [0.5] * 4, [-1.0] * 4
    with open_scene(path, bands=["nir", 1]) as scene:
        assert scene.path == str(path)
        assert scene.shape == (5, 4)
        assert scene.crs == CRS.from_epsg(32633)
        assert scene.transform == Affine(1, 0, 500_000, 0, -1, 5_000_000)
        assert scene.grid.bounds == (500_000, 4_999_995, 500_004, 5_000_000)
        assert scene.source.driver == "GTiff"
        assert scene.source.tags["AREA_OR_POINT"] == "Area"
        assert [band.number for band in scene.bands] == [4, 1]
        assert [band.name for band in scene.all_bands] == ["Red", "Green", "Blue", "NIR"]
        nir = scene.bands[0]
        assert (nir.scale, nir.offset, nir.nodata, nir.dtype) == (0.5, -1, 7, np.dtype("uint8"))
        assert repr(scene) == f"<Scene '{path}' 5 x 4 uint8: NIR, Red>"


@pytest.mark.parametrize(
    "transform",
    [
        Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3),
        Affine(1.5, -5, 500_000, -5, -1.5, 5_000_000),
        Affine(2, 0, 500_000, 0, 2, 5_000_000),
    ],
    ids=["rotated", "sheared", "south-up"],
)
def test_any_transform_is_kept(make_raster: MakeRaster, transform: Affine) -> None:
    with open_scene(make_raster(noise(1, 3, 3), transform=transform)) as scene:
        assert scene.transform.almost_equals(transform)


def test_bands_are_selected_in_order_and_may_repeat(make_raster: MakeRaster) -> None:
    array = noise(3, 4, 5)
    with open_scene(make_raster(array), bands=["3", 1, 1]) as scene:
        assert np.array_equal(scene.read(whole(scene)).array, array[[2, 0, 0]])
        other = scene.select([2])
        assert np.array_equal(other.read(whole(scene)).array, array[[1]])
        assert [band.number for band in scene.bands] == [3, 1, 1]
        with pytest.raises(SceneError, match="has no band 'nir', it has 3 bands"):
            scene.select(["nir"])


def test_too_few_bands(make_raster: MakeRaster) -> None:
    with pytest.raises(SceneError, match="has no band '3', it has 2 bands: 1, 2"):
        open_scene(make_raster(noise(2, 3, 3)), bands=[1, 2, 3])


def test_dark_pixels_are_valid_and_nodata_is_not(make_raster: MakeRaster) -> None:
    array = np.array([[[0, 0, 5]], [[0, 3, 5]], [[0, 0, 0]]], dtype="uint8")
    with open_scene(make_raster(array, nodata=0)) as scene:
        assert scene.read(whole(scene)).valid.tolist() == [[False, True, True]]
        assert scene.select([1, 3]).read(whole(scene)).valid.tolist() == [[False, False, True]]


def test_nan_in_any_band_is_invalid(make_raster: MakeRaster) -> None:
    array = np.array([[[np.nan, 1, -9]], [[2, 2, -9]]], dtype="float32")
    with open_scene(make_raster(array, nodata=-9)) as scene:
        assert scene.read(whole(scene)).valid.tolist() == [[False, True, False]]
        assert scene.select([2]).read(whole(scene)).valid.tolist() == [[True, True, False]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_is_a_mask_and_no_band(make_raster: MakeRaster, dtype: str) -> None:
    array = np.array([[[9, 9, 9]], [[0, 1, 255]]], dtype=dtype)
    with open_scene(make_raster(array, colorinterp=("gray", "alpha"))) as scene:
        assert [band.name for band in scene.bands] == ["gray"]
        assert [band.name for band in scene.all_bands] == ["gray", "alpha"]
        pixels = scene.read(whole(scene))
        assert pixels.array.tolist() == [[[9, 9, 9]]]
        assert pixels.valid.tolist() == [[False, True, True]]


def test_alpha_asked_for_is_data(make_raster: MakeRaster) -> None:
    array = np.array([[[9, 9, 9]], [[0, 1, 255]]], dtype="uint8")
    with open_scene(make_raster(array, colorinterp=("gray", "alpha")), bands=[1, 2]) as scene:
        assert np.array_equal(scene.read(whole(scene)).array, array)
        assert scene.read(whole(scene)).valid.all()


def test_alpha_and_nodata_together(make_raster: MakeRaster) -> None:
    array = np.array([[[9, 4, 9]], [[0, 255, 255]]], dtype="uint8")
    with open_scene(make_raster(array, colorinterp=("gray", "alpha"), nodata=4)) as scene:
        assert scene.read(whole(scene)).valid.tolist() == [[False, False, True]]


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("nodata", [None, 0])
def test_masks_inside_and_beside_the_file(make_raster: MakeRaster, internal: bool, nodata: int | None) -> None:
    array = np.array([[[0, 0, 5, 5]], [[0, 3, 5, 5]]], dtype="uint8")
    mask = np.array([[True, True, False, True]])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = make_raster(array, mask=mask, nodata=nodata)
    assert path.with_name("scene.tif.msk").exists() is not internal
    with open_scene(path) as scene:
        assert scene.read(whole(scene)).valid.tolist() == [[nodata is None, True, False, True]]
        assert scene.read(Window(1, 0, 2, 1)).valid.tolist() == [[True, False]]


def vrt_band(number: int, source: Path, *, dtype: str = "Byte", extra: str = "", mask: Path | None = None) -> str:
    def simple(path: Path) -> str:
        return f"<SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"

    masked = f'<MaskBand><VRTRasterBand dataType="Byte">{simple(mask)}</VRTRasterBand></MaskBand>' if mask else ""
    return f'<VRTRasterBand dataType="{dtype}" band="{number}">{extra}{simple(source)}{masked}</VRTRasterBand>'


def write_vrt(path: Path, shape: tuple[int, int], *bands: str) -> Path:
    place = "<SRS>EPSG:32633</SRS><GeoTransform>500000, 1, 0, 5000000, 0, -1</GeoTransform>"
    path.write_text(
        f'<VRTDataset rasterXSize="{shape[1]}" rasterYSize="{shape[0]}">{place}{"".join(bands)}</VRTDataset>'
    )
    return path


def test_a_band_with_a_mask_of_its_own(make_raster: MakeRaster, tmp_path: Path) -> None:
    data = make_raster(np.array([[[5, 5, 5]]], dtype="uint8"), "data.tif")
    mask = make_raster(np.array([[[0, 255, 1]]], dtype="uint8"), "mask.tif")
    path = write_vrt(tmp_path / "scene.vrt", (1, 3), vrt_band(1, data, mask=mask), vrt_band(2, data))
    with open_scene(path) as scene:
        assert scene.read(whole(scene)).valid.tolist() == [[False, True, True]]
        assert scene.select([2]).read(whole(scene)).valid.all()


def test_nodata_values_of_all_bands_together(make_raster: MakeRaster) -> None:
    path = make_raster(np.array([[[1, 1, 2]], [[2, 1, 2]]], dtype="uint8"))
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(NODATA_VALUES="1 2")
    with open_scene(path) as scene:
        assert scene.read(whole(scene)).valid.tolist() == [[False, True, True]]


def test_bands_of_different_types_and_nodata(make_raster: MakeRaster, tmp_path: Path) -> None:
    bytes_ = make_raster(np.array([[[0, 0, 200]]], dtype="uint8"), "bytes.tif")
    floats = make_raster(np.array([[[-9, 0.25, np.nan]]], dtype="float32"), "floats.tif")
    path = write_vrt(
        tmp_path / "scene.vrt",
        (1, 3),
        vrt_band(1, bytes_, extra="<NoDataValue>0</NoDataValue>"),
        vrt_band(2, floats, dtype="Float32", extra="<NoDataValue>-9</NoDataValue>"),
        vrt_band(3, bytes_, dtype="UInt16", extra="<NoDataValue>0.5</NoDataValue>"),
    )
    with open_scene(path, bands=[1, 2]) as scene:
        assert scene.dtype == np.dtype("float32")
        pixels = scene.read(whole(scene))
        assert pixels.array.dtype == np.dtype("float32")
        assert np.array_equal(pixels.array, np.array([[[0, 0, 200]], [[-9, 0.25, np.nan]]]), equal_nan=True)
        assert pixels.valid.tolist() == [[False, True, False]]
        assert scene.select([3, 1]).dtype == np.dtype("uint16")
        assert scene.select([3, 1]).read(whole(scene)).array.tolist() == [[[0, 0, 200]], [[0, 0, 200]]]
        assert scene.select([3, 1]).read(whole(scene)).valid.all()


@pytest.mark.parametrize("window", [Window(-1, 0, 2, 2), Window(0, -1, 2, 2), Window(2, 0, 2, 2), Window(0, 2, 2, 2)])
def test_a_window_lies_within_the_scene(make_raster: MakeRaster, window: Window) -> None:
    with open_scene(make_raster(noise(1, 3, 3))) as scene, pytest.raises(SceneError, match="within the scene's 3 x 3"):
        scene.read(window)


def cut_off(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "jpeg"])
def test_a_cut_off_geotiff_names_file_and_block(
    make_raster: MakeRaster, capfd: pytest.CaptureFixture[str], compress: str
) -> None:
    path = make_raster(
        noise(3, 64, 64), tiled=True, blockxsize=32, blockysize=32, interleave="pixel", compress=compress
    )
    with open_scene(cut_off(path, 0.95)) as scene:
        assert scene.read(Window(0, 0, 64, 32)).valid.all()
        message = r"scene\.tif' cannot be read in the block of rows 32-63, columns 32-63 \(.+\): .* damaged or cut off"
        with pytest.raises(SceneError, match=message) as caught:
            scene.read(whole(scene))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore::geodeeplab.errors.GeoDeepLabWarning")
@pytest.mark.parametrize(("driver", "name"), [("PNG", "x.png"), ("JPEG", "x.jpg")])
@pytest.mark.parametrize("shape", [(3, 60, 50), (1, 60, 50)])
def test_a_cut_off_picture_is_refused(
    make_raster: MakeRaster, driver: str, name: str, shape: tuple[int, int, int]
) -> None:
    path = make_raster(noise(*shape), name, driver=driver, crs=None, transform=None)
    with open_scene(cut_off(path, 0.6)) as scene, pytest.raises(SceneError, match="damaged or cut off"):
        scene.read(whole(scene))


def test_a_vrt_whose_source_is_gone(make_raster: MakeRaster, tmp_path: Path) -> None:
    source = make_raster(noise(1, 3, 3), "source.tif")
    path = write_vrt(tmp_path / "scene.vrt", (3, 3), vrt_band(1, source))
    source.unlink()
    with (
        open_scene(path) as scene,
        pytest.raises(SceneError, match=r"source\.tif: No such file.* one that it refers to"),
    ):
        scene.read(whole(scene))


def test_an_error_that_does_not_come_back_names_the_window(make_raster: MakeRaster) -> None:
    with open_scene(make_raster(noise(1, 3, 3))) as scene:
        real, calls = cast(FileSource, scene.source)._src, []

        class Flaky:
            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

            def read(self, *args: object, **options: object) -> object:
                calls.append(options)
                if len(calls) == 1:
                    raise rasterio.errors.RasterioIOError("timeout")
                return real.read(*args, **options)

        cast(FileSource, scene.source)._src = Flaky()
        with pytest.raises(SceneError, match=r"cannot be read in rows 1-2, columns 0-2 \(timeout\)"):
            scene.read(Window(0, 1, 3, 2))


def test_pictures_are_read_whole_and_in_part(make_raster: MakeRaster) -> None:
    array = noise(3, 7, 5)
    path = make_raster(array, "x.png", driver="PNG")  # the .aux.xml beside it has the CRS
    with open_scene(path) as scene:
        for window in [whole(scene), Window(1, 2, 3, 4), Window(0, 0, 5, 1)]:
            rows, cols = window.toslices()
            assert np.array_equal(scene.read(window).array, array[:, rows, cols])
    one = make_raster(array[:, :1, :1], "one.png", driver="PNG")
    with open_scene(one) as scene:
        assert np.array_equal(scene.read(whole(scene)).array, array[:, :1, :1])


def test_the_block_cache_is_small_while_reading_and_then_as_before(make_raster: MakeRaster) -> None:
    with open_scene(make_raster(noise(1, 3, 3))) as scene:
        before, seen, real = get_gdal_config("GDAL_CACHEMAX"), [], cast(FileSource, scene.source)._src

        class Spy:
            def __getattr__(self, name: str) -> object:
                seen.append(get_gdal_config("GDAL_CACHEMAX"))
                return getattr(real, name)

        cast(FileSource, scene.source)._src = Spy()
        scene.read(whole(scene))
    assert before > BLOCK_CACHE_BYTES
    assert set(seen) - {before} == {BLOCK_CACHE_BYTES}
    assert get_gdal_config("GDAL_CACHEMAX") == before


def test_blocks_cover_a_window() -> None:
    blocks = [(b.row_off, b.col_off, b.height, b.width) for b in
              iter_blocks(Window(3, 4, 2, 3), block_shape=(5, 4), shape=(6, 9))]  # fmt: skip
    assert blocks == [(0, 0, 5, 4), (0, 4, 5, 4), (5, 0, 1, 4), (5, 4, 1, 4)]


def test_closed_after_the_with_statement(make_raster: MakeRaster) -> None:
    with open_scene(make_raster(noise(1, 3, 3))) as scene:
        pass
    assert cast(FileSource, scene.source)._src.closed
