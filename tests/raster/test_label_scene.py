"""Label rasters of whole numbers in any type, and with compression that changes them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabWarning, SceneError
from geodeeplab.raster import label_nodata, open_label_scene
from geodeeplab.raster.sources.lossy import lossy_compression
from geodeeplab.raster.sources.whole_numbers import NO_LABEL

MakeRaster = Callable[..., Path]
Array = npt.NDArray[Any]

LOSSLESS = "make it again without loss"


def stripes(*values: float, dtype: str = "float32", side: int = 64) -> Array:
    """(1, side, side): stripes of some values, one after the other."""
    return np.repeat(np.array(values, dtype), side // len(values))[None, :, None].repeat(side, axis=2)


def checks() -> Array:
    """(1, 96, 96) of 10, 200 and 90, whose borders are not those of JPEG's blocks."""
    labels = np.where((np.indices((96, 96)) // 11).sum(0) % 2 == 0, 10, 200).astype("uint8")
    labels[30:50, 20:70] = 90
    return labels[None]


def classes_of(path: Path) -> set[int]:
    return set(gpd.read_parquet(path).class_id)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("float32", -9999), ("float32", float("nan")), ("float32", -3.4028234663852886e38), ("float64", -9999),
        ("float64", float("nan")), ("int16", -9999), ("int32", -9999), ("int8", -128), ("uint16", 65535),
        ("uint32", 4294967295), ("int64", -9999), ("uint64", 255),
    ],
)  # fmt: skip
def test_whole_numbers_of_any_type_are_labels(
    make_raster: MakeRaster, tmp_path: Path, dtype: str, nodata: float
) -> None:
    """0 is a class, and what is nodata stays nodata."""
    labels = make_raster(stripes(0, 1, 7, nodata, dtype=dtype), nodata=nodata)
    gdl.vectorize(labels, tmp_path / "a.parquet")
    assert classes_of(tmp_path / "a.parquet") == {0, 1, 7}
    found = gdl.evaluate(labels, labels)
    assert (found.accuracy, [one.name for one in found.classes]) == (1, ["0", "1", "7"])


def test_nodata_that_is_no_label(make_raster: MakeRaster) -> None:
    with open_label_scene(make_raster(stripes(0, np.nan), nodata=float("nan"))) as scene:
        assert (scene.dtype, label_nodata(scene)) == (np.dtype("int32"), NO_LABEL)
    with open_label_scene(make_raster(stripes(0, 5))) as scene:
        assert label_nodata(scene) is None
    with open_label_scene(make_raster(stripes(0, 5, dtype="uint8"), nodata=5)) as scene:
        assert (scene.dtype, label_nodata(scene)) == (np.dtype("uint8"), 5)


@pytest.mark.parametrize(
    ("values", "said"), [((0, 1.5), r"holds 1\.5:"), ((0, 0.1, 0.2, 3e9), r"holds 0\.1, 0\.2, 3e\+09:")]
)
def test_fractions_are_refused_with_the_values(
    make_raster: MakeRaster, tmp_path: Path, values: tuple[float, ...], said: str
) -> None:
    labels = make_raster(stripes(*values), "labels.tif")
    scene = make_raster(np.ones((3, 64, 64), np.uint8))
    for run in (
        lambda: gdl.vectorize(labels, tmp_path / "a.gpkg"),
        lambda: gdl.evaluate(labels, labels),
        lambda: gdl.prepare_data(scenes=scene, labels=labels, chip_size=16, batch_size=1),
    ):
        with pytest.raises(SceneError, match=f"labels are whole numbers of at most 32 bits, .*labels.tif' {said}"):
            run()
    assert not (tmp_path / "a.gpkg").exists()


@pytest.mark.parametrize("dtype", ["float32", "int16", "int64"])
def test_training_on_any_numbers(make_raster: MakeRaster, dtype: str) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 250, (3, 256, 256)).astype(np.uint8))
    labels = make_raster(stripes(*([0, 300, -2, -9999] * 8), dtype=dtype, side=256), "labels.tif", nodata=-9999)
    options: dict[str, Any] = {"scenes": scene, "labels": labels, "chip_size": 16, "batch_size": 1, "epoch_chips": 1}
    data = gdl.prepare_data(**options, class_mapping={0: "bare", 300: "crop", -2: "wood"})
    assert [one.name for one in data.classes] == ["wood", "bare", "crop"]
    with pytest.raises(SceneError, match=r"labels have values without a class, .*: -2 in 16384 px"):
        gdl.prepare_data(
            scenes=scene, labels=labels, class_mapping={0: "bare", 300: "crop"}, chip_size=16, batch_size=1
        )


def written(path: Path, array: Array, **options: Any) -> Path:  # noqa: ANN401 - whatever GDAL takes
    """Write labels by a driver that may only copy."""
    profile = {"count": len(array), "height": array.shape[1], "width": array.shape[2], "dtype": array.dtype}
    place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 500_000, 0, -1, 5_000_000)}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", **profile, **place) as dst:
            dst.write(array)
        with memory.open() as src:
            rasterio.shutil.copy(src, path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options", "bands", "found"),
    [
        ("a.tif", {"driver": "GTiff", "compress": "jpeg"}, 1, "JPEG"),
        ("a.tif", {"driver": "GTiff", "compress": "jpeg", "photometric": "ycbcr"}, 3, "JPEG"),
        ("a.tif", {"driver": "COG", "compress": "jpeg"}, 1, "JPEG"),
        ("a.tif", {"driver": "GTiff", "compress": "webp"}, 3, "WebP"),
        ("a.tif", {"driver": "GTiff", "compress": "webp", "webp_lossless": True}, 3, None),
        ("a.tif", {"driver": "GTiff", "compress": "lerc", "max_z_error": 2}, 1, "LERC to within 2"),
        ("a.tif", {"driver": "GTiff", "compress": "lerc"}, 1, None),
        ("a.tif", {"driver": "GTiff", "compress": "deflate"}, 1, None),
        ("a.jp2", {"driver": "JP2OpenJPEG"}, 1, "JPEG 2000"),
        ("a.jp2", {"driver": "JP2OpenJPEG", "reversible": "YES", "quality": 100}, 1, None),
        ("a.jpg", {"driver": "JPEG"}, 1, "JPEG"),
        ("a.webp", {"driver": "WEBP"}, 3, "WebP"),
        ("a.gpkg", {"driver": "GPKG", "tile_format": "JPEG"}, 1, "JPEG tiles"),
        ("a.gpkg", {"driver": "GPKG", "tile_format": "WEBP"}, 3, "WebP tiles"),
        ("a.gpkg", {"driver": "GPKG", "tile_format": "PNG"}, 1, None),
        ("a.png", {"driver": "PNG"}, 1, None),
    ],
)
def test_compression_with_loss_is_found(
    tmp_path: Path, name: str, options: dict[str, Any], bands: int, found: str | None
) -> None:
    path = written(tmp_path / name, checks().repeat(bands, axis=0), **options)
    assert lossy_compression([str(path)]) == found
    if bands == 1:
        with open_label_scene(path) as scene:
            assert lossy_compression(scene.source.files) == found


def test_loss_is_refused_or_told(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = make_raster(checks(), "labels.tif", compress="jpeg")
    vrt = tmp_path / "labels.vrt"
    rasterio.shutil.copy(labels, vrt, driver="VRT")
    values = set(np.unique(rasterio.open(labels).read(1)).tolist())
    assert len(values) > 3
    for path in (labels, vrt):
        with pytest.raises(SceneError, match=r"with loss \(JPEG\), which changed .* are no classes"):
            gdl.vectorize(path, tmp_path / "a.parquet")
    with pytest.raises(SceneError, match=r"with loss \(JPEG\)"):
        gdl.evaluate(make_raster(checks(), "truth.tif"), labels)
    few = make_raster(stripes(10, 200, dtype="uint8"), "few.tif", compress="jpeg")  # along the blocks of JPEG
    with pytest.warns(GeoDeepLabWarning, match=rf"with loss \(JPEG\).* 2 values \(10, 200\).*{LOSSLESS}"):
        gdl.vectorize(few, tmp_path / "few.parquet")


def test_loss_against_known_classes(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = make_raster(checks(), "labels.tif", compress="jpeg")
    names = "".join(f"<Category>{name}</Category>" for name in ["", *("?" * 9), "water"])
    Path(f"{labels}.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
    )
    with pytest.raises(SceneError, match=rf"with loss \(JPEG\), which changed .* are no classes; {LOSSLESS}"):
        gdl.vectorize(labels, tmp_path / "a.parquet")
    with pytest.raises(SceneError, match="are no classes"):
        gdl.evaluate(labels, labels)


def test_training_on_loss(make_raster: MakeRaster) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 250, (3, 96, 96)).astype(np.uint8))
    labels = make_raster(checks(), "labels.tif", compress="jpeg")
    options: dict[str, Any] = {"scenes": scene, "labels": labels, "chip_size": 16, "batch_size": 1, "epoch_chips": 1}
    with pytest.raises(SceneError, match=r"loss \(JPEG\).*nothing says which are classes of .* px.*without loss"):
        gdl.prepare_data(**options)
    mapping = {10: "a", 90: "b", 200: "c"}
    with pytest.raises(SceneError, match=r"values without a class.*loss \(JPEG\), which makes such values"):
        gdl.prepare_data(**options, class_mapping=mapping)
    with pytest.warns(GeoDeepLabWarning, match=r"labels.tif' is compressed with loss \(JPEG\)"):
        data = gdl.prepare_data(**options, class_mapping=mapping, ignore_unknown=True)
    assert [one.name for one in data.classes] == ["a", "b", "c"]


def test_nothing_is_said_of_labels_without_loss(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = make_raster(checks(), "labels.tif", compress="deflate")
    with warnings.catch_warnings():
        warnings.simplefilter("error", GeoDeepLabWarning)
        gdl.vectorize(labels, tmp_path / "a.parquet")
    assert classes_of(tmp_path / "a.parquet") == {10, 90, 200}
