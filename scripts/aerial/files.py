"""The files of the sample scene: a GeoTIFF and the polygons of its labels."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import rasterio
import rasterio.features
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import shape

from .canvas import CLASS_NAMES, BoolArray
from .multispectral import BANDS, REFLECTANCE_SCALE

CRS, TRANSFORM = "EPSG:32632", Affine(1.0, 0.0, 604_000.0, 0.0, -1.0, 5_332_000.0)
RGBN_TRANSFORM = Affine(1.0, 0.0, 608_000.0, 0.0, -1.0, 5_332_000.0)
CLASS_COLOURS = {1: (214, 69, 65), 2: (214, 196, 158), 3: (120, 120, 128), 4: (88, 158, 76), 5: (66, 135, 200)}


def write_picture(image: NDArray[np.uint8 | np.uint16], valid: BoolArray, path: Path, *, seed: int, style: str) -> None:
    """Write the picture (3, H, W) as a tiled JPEG-compressed GeoTIFF with an internal mask.

    JPEG blurs the border to nodata, so the file declares no nodata value: the mask, which is lossless, says what is
    valid. Readers that ignore masks still see black there.
    """
    profile = _profile(image) | {
        "transform": TRANSFORM,
        "compress": "JPEG",
        "jpeg_quality": 90,
        "photometric": "YCBCR",
        "interleave": "pixel",
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dst:
        dst.update_tags(**_tags(seed, style))
        dst.write(image)
        dst.write_mask(valid)
        for band, name in enumerate(("red", "green", "blue"), start=1):
            dst.set_band_description(band, name)


def write_multispectral(image: NDArray[np.uint8 | np.uint16], path: Path, *, seed: int, style: str) -> None:
    """Write reflectance (4, H, W) as a tiled GeoTIFF with named bands, their scale, and nodata 0."""
    profile = _profile(image) | {
        "transform": RGBN_TRANSFORM,
        "compress": "DEFLATE",
        "zlevel": 9,
        "predictor": 2,
        "nodata": 0,
        "interleave": "band",
    }
    with rasterio.open(path, "w", **profile) as dst:
        dst.update_tags(**_tags(seed, style))
        dst.write(image)
        dst.scales = [REFLECTANCE_SCALE] * len(BANDS)
        dst.descriptions = BANDS


def write_label_raster(labels: NDArray[np.uint8], path: Path) -> None:
    """Write labels (H, W) on the multispectral scene's grid, nodata 0, with a colour table and GeoDeepLab's classes."""
    profile = _profile(labels[None]) | {"transform": RGBN_TRANSFORM, "compress": "DEFLATE", "nodata": 0}
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(labels, 1)
        dst.write_colormap(1, {0: (0, 0, 0, 0), **{key: (*rgb, 255) for key, rgb in CLASS_COLOURS.items()}})
        table = [{"id": key, "name": name, "color": CLASS_COLOURS[key]} for key, name in CLASS_NAMES.items()]
        dst.update_tags(GEODEEPLAB_CLASSES=json.dumps(table))


def _profile(image: NDArray[np.uint8 | np.uint16]) -> dict[str, object]:
    """Give what all rasters (C, H, W) share: tiled GeoTIFF in the sample's CRS."""
    count, height, width = image.shape
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "crs": CRS}
    return layout | {"height": height, "width": width, "count": count, "dtype": image.dtype.name}


def _tags(seed: int, style: str) -> dict[str, str]:
    """Say what a picture is."""
    return {
        "SYNTHETIC": "yes",
        "GENERATOR": "sample_data/make_scene.py",
        "SEED": str(seed),
        "STYLE": style,
        "LICENCE": "CC0-1.0",
        "TIFFTAG_IMAGEDESCRIPTION": "Synthetic aerial scene; no real place",
    }


def write_truth(labels: NDArray[np.uint8], valid: BoolArray, path: Path) -> None:
    """Write the labels (H, W) as polygons, pixel by pixel exact, into the layer `truth` of a GeoPackage."""
    found = rasterio.features.shapes(labels, mask=valid, connectivity=4, transform=TRANSFORM)
    polygons, class_ids = zip(*((shape(geometry), int(value)) for geometry, value in found), strict=True)
    frame = geopandas.GeoDataFrame(
        {"class_id": np.array(class_ids, dtype=np.uint8), "class_name": [CLASS_NAMES[k] for k in class_ids]},
        geometry=list(polygons),
        crs=CRS,
    )
    path.unlink(missing_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2025-01-01T00:00:00Z"})  # the same bytes in every run
    frame.to_file(
        path,
        layer="truth",
        driver="GPKG",
        engine="pyogrio",
        SPATIAL_INDEX="NO",
        DESCRIPTION="Labels of the synthetic scene.tif",
    )
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
