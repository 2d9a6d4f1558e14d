"""A folder with small files under the names that pages use: a piece of the sample scene, its truth, and a model."""

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window
from rasterio.windows import bounds as bounds_of
from rasterio.windows import transform as transform_of
from shapely.geometry import box, shape

from tests.docs.blocks import ROOT

SIDE = 128
CORNER = (1376, 512)
"""First column and row of the piece."""
CLASSES = ("building", "land", "road", "vegetation", "water")
DRONE_PIXEL_M = 0.15
POLYGON_PX = 6
POLYGONS_EACH = 4
CONTRACT = {
    "name": "mine",
    "classes": [{"id": 1, "name": "water", "color": [0, 0, 255]}, {"id": 2, "name": "land", "color": [200, 150, 0]}],
    "bands": [{"name": name, "mean": 110.0, "std": 50.0} for name in ("red", "green", "blue")],
}


def fill_folder(folder: Path) -> None:
    """Write all files."""
    image, truth, profile = _piece()
    near_infrared = np.where(truth == 4, 200, 60).astype(np.uint8)[None]
    _write(folder / "scene.tif", np.concatenate([image, near_infrared]), profile, names=("red", "green", "blue", "nir"))
    for name in ("tile6", "north", "a"):
        _write(folder / f"{name}.tif", image, profile)
    for name in ("south", "b"):  # other ground
        moved = profile | {"transform": profile["transform"] @ rasterio.Affine.translation(0, 2 * SIDE)}
        _write(folder / f"{name}.tif", image[:, ::-1], moved)
        _write(folder / f"{name}_labels.tif", truth[None, ::-1], moved | {"nodata": 0})
    for name in ("drone", "banepa"):
        fine = rasterio.Affine.scale(DRONE_PIXEL_M)
        _write(folder / f"{name}.tif", image, profile | {"transform": profile["transform"] @ fine})
    half = SIDE // 2
    _write(folder / "west.tif", image[:, :, :half], profile)
    east = {"transform": profile["transform"] @ rasterio.Affine.translation(half, 0)}
    _write(folder / "east.tif", image[:, :, half:], profile | east)
    (folder / "scenes").mkdir()
    for name in ("west", "east"):
        shutil.copyfile(folder / f"{name}.tif", folder / "scenes" / f"{name}.tif")
    _write_items(folder)
    _write_masks(folder, profile)
    for name in ("before-scene", "after-scene"):
        _write(folder / f"{name}.tif", image, profile)
    _write(folder / "before.tif", truth[None], profile | {"nodata": 0})
    _write(folder / "after.tif", np.roll(truth, 9, axis=1)[None], profile | {"nodata": 0})
    for name in ("labels", "a_labels"):
        _write(folder / f"{name}.tif", truth[None], profile | {"nodata": 0})
    chosen = np.random.default_rng(0).random(truth.shape) < 0.02
    _write(folder / "sample.tif", np.where(chosen, truth, 0)[None], profile | {"nodata": 0})
    with rasterio.open(folder / "scene.tif") as src:
        copy_raster(src, folder / "service.xml", driver="VRT")  # as GDAL sees a service
    _write_layers(folder, truth, profile)
    shutil.copyfile(folder / "truth.gpkg", folder / "change.gpkg")
    _write_model(folder)


def _write_items(folder: Path) -> None:
    """Write a STAC item collection of two scenes."""
    items = [
        {
            "type": "Feature",
            "id": name,
            "assets": {
                "image": {"href": f"{name}.tif", "roles": ["data"], "type": "image/tiff"},
                "qa_pixel": {"href": "qa.tif", "roles": ["cloud"], "type": "image/tiff"},
            },
        }
        for name in ("west", "east")
    ]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def _write_masks(folder: Path, profile: dict[str, object]) -> None:
    """Write masks at half the resolution: of clouds in one corner, and of bits."""
    clouds = np.zeros((1, SIDE // 2, SIDE // 2), np.uint8)
    clouds[0, :20, :10], clouds[0, 30:40, -8:] = 1, 2
    coarse = profile | {"transform": profile["transform"] @ rasterio.Affine.scale(2)}
    for name in ("clouds", "west_clouds", "east_clouds"):
        _write(folder / f"{name}.tif", clouds, coarse)
    _write(folder / "qa.tif", clouds * 8, coarse)


def _piece() -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, object]]:
    """Give a piece of the sample scene (3, H, W) with all classes, its truth (H, W), and a profile."""
    with rasterio.open(ROOT / "sample_data" / "scene.tif") as src:
        window = Window(*CORNER, SIDE, SIDE)
        transform = transform_of(window, src.transform)
        truth = gpd.read_file(ROOT / "sample_data" / "truth.gpkg", bbox=bounds_of(window, src.transform))
        every = zip(truth.geometry, truth["class_id"], strict=True)
        ids = rasterize(every, out_shape=(SIDE, SIDE), transform=transform, dtype=np.uint8)
        profile = {"driver": "GTiff", "crs": src.crs, "transform": transform}
        return src.read(window=window), ids, profile


def _write(path: Path, array: NDArray[np.uint8], profile: dict[str, object], *, names: tuple[str, ...] = ()) -> None:
    options = profile | dict(zip(("count", "height", "width"), array.shape, strict=True))
    rgb = {"photometric": "rgb", "alpha": "unspecified"} if len(array) > 1 else {}
    with rasterio.open(path, "w", dtype=array.dtype, **options, **rgb) as dst:
        dst.write(array)
        if names:
            dst.descriptions = names


def _write_layers(folder: Path, truth: NDArray[np.uint8], profile: dict[str, object]) -> None:
    """Write polygons: all of the truth, those of buildings, and a few little ones of each class."""
    crs, transform = profile["crs"], profile["transform"]
    found = list(shapes(truth, mask=truth > 0, transform=transform))
    names = [CLASSES[int(value) - 1] for _, value in found]
    whole = gpd.GeoDataFrame({"class_name": names, "crop": names}, geometry=[shape(one) for one, _ in found], crs=crs)
    whole.to_file(folder / "truth.gpkg")
    whole.to_file(folder / "fields.gpkg")
    for name in ("buildings", "roofs"):
        whole[whole["class_name"] == "building"].to_file(folder / f"{name}.gpkg")
    few = _few(truth, transform, crs)
    for name in ("few", "few-5", "few-20"):
        few.to_file(folder / f"{name}.gpkg")
    few.to_crs(4326).to_file(folder / "scene-polygons.geojson")
    left, bottom, right, top = whole.total_bounds
    middle = box(left + (right - left) / 4, bottom + (top - bottom) / 4, right, top)
    gpd.GeoSeries([middle], crs=crs).to_crs(4326).to_file(folder / "area.geojson")


def _few(truth: NDArray[np.uint8], transform: object, crs: object) -> gpd.GeoDataFrame:
    rng, kept = np.random.default_rng(0), np.zeros_like(truth)
    for number in range(1, len(CLASSES) + 1):
        rows, cols = np.nonzero(truth == number)
        for at in rng.choice(len(rows), POLYGONS_EACH, replace=False):
            near = tuple(slice(max(0, one - POLYGON_PX), one + POLYGON_PX) for one in (rows[at], cols[at]))
            kept[near] = np.where(truth[near] == number, number, kept[near])
    found = list(shapes(kept, mask=kept > 0, transform=transform))
    names = [CLASSES[int(value) - 1] for _, value in found]
    geometry = [shape(one) for one, _ in found]
    return gpd.GeoDataFrame({"class_name": names, "class": names}, geometry=geometry, crs=crs)


def _write_model(folder: Path) -> None:
    """Write a network of one layer as ONNX, and its contract."""
    from onnx import TensorProto, helper, save

    weights = helper.make_tensor("weights", TensorProto.FLOAT, (2, 3, 1, 1), [0, 0, 1, 1, 0, 0])
    node = helper.make_node("Conv", ["images", "weights"], ["logits"])
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, "h", "w"))
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("n", 2, "h", "w"))
    graph = helper.make_graph([node], "mine", [given], [made], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    save(model, folder / "mine.onnx")
    (folder / "mine.json").write_text(json.dumps(CONTRACT))
