"""The files of the sample scene: a GeoTIFF and the polygons of its labels."""

from __future__ import annotations

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

CRS, TRANSFORM = "EPSG:32632", Affine(1.0, 0.0, 604_000.0, 0.0, -1.0, 5_332_000.0)


def write_picture(image: NDArray[np.uint8], valid: BoolArray, path: Path, *, seed: int, style: str) -> None:
    """Write the picture (3, H, W) as a tiled JPEG-compressed GeoTIFF with an internal mask.

    JPEG blurs the border to nodata, so the file declares no nodata value: the mask, which is lossless, says what is
    valid. Readers that ignore masks still see black there.
    """
    height, width = valid.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 3,
        "dtype": "uint8",
        "crs": CRS,
        "transform": TRANSFORM,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "JPEG",
        "jpeg_quality": 90,
        "photometric": "YCBCR",
        "interleave": "pixel",
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dst:
        dst.update_tags(
            SYNTHETIC="yes",
            GENERATOR="sample_data/make_scene.py",
            SEED=str(seed),
            STYLE=style,
            LICENCE="CC0-1.0",
            TIFFTAG_IMAGEDESCRIPTION="Synthetic aerial scene; no real place",
        )
        dst.write(image)
        dst.write_mask(valid)
        for band, name in enumerate(("red", "green", "blue"), start=1):
            dst.set_band_description(band, name)


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
