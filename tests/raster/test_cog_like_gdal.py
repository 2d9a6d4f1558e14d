"""COGs beside those that GDAL's own driver writes of the same pixels, and by the rules of GDAL's validator."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OutputError
from geodeeplab.raster import cog
from geodeeplab.raster.cog import LabelClass, category_names, follow_labels, write_label_cog, write_raster
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.spool.directories import (
    BYTE_COUNTS,
    HEIGHT,
    LARGEST_CLASSIC,
    OFFSETS,
    WIDTH,
    lay_out,
    read_directories,
    read_structure,
)
from geodeeplab.raster.spool.encoded import SpoolLayer, encode_block
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.raster.spool.vrt import VrtBand, write_block_vrt

CLASSES = [
    LabelClass(id=1, name="building", color=(200, 30, 30)),
    LabelClass(id=3, name="Wald & Wiese", color=(0, 120, 40)),
]
COLORS = {0: (0, 0, 0), 1: (200, 30, 30), 3: (0, 120, 40)}
TAGS = {"GEODEEPLAB": '{"größe": "<1 & 2>"}', "AREA_OR_POINT": "Area"}
LOCAL = CRS.from_wkt(
    'PROJCS["ours",GEOGCS["x",DATUM["y",SPHEROID["GRS 1980",6378137,298.257222101]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Lambert_Azimuthal_Equal_Area"],'
    'PARAMETER["latitude_of_center",45.5],PARAMETER["longitude_of_center",7.25],PARAMETER["false_easting",10],'
    'PARAMETER["false_northing",20],UNIT["metre",1]]'
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a raster has beside its pixels."""

    bands: int = 1
    dtype: str = "uint8"
    nodata: float = 255
    resampling: str = "AVERAGE"
    band_names: list[str] = field(default_factory=list)


KINDS = {
    "labels": Kind(nodata=0, resampling="MODE"),
    "confidence": Kind(),
    "probabilities": Kind(bands=3, band_names=["a", "b & c", ""]),
    "half": Kind(bands=2, dtype="float16", nodata=float("nan"), band_names=["a", "b"]),
}
GRIDS = {
    "north-up": (Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), CRS.from_epsg(32633)),
    "rotated, of its own": (Affine(1, 0.5, 7, 0.5, -1, 9), LOCAL),
    "nowhere": (Affine.identity(), None),
}


def pixels_of(kind: Kind, shape: tuple[int, int]) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    coarse = (kind.bands, shape[0] // 3 + 1, shape[1] // 3 + 1)
    cube = rng.choice(np.array([0, 1, 3], np.uint8), coarse)
    if kind.dtype == "float16":
        cube = rng.random(coarse, dtype=np.float32).astype(np.float16)
    cube = cube.repeat(3, axis=1).repeat(3, axis=2)[:, : shape[0], : shape[1]]
    cube[..., 100:300, 200:900] = kind.nodata
    return cube if kind.bands > 1 else cube[0]


def spool_of(pixels: NDArray[Any], folder: Path, *, height: int, width: int) -> BlockSpool:
    folder.mkdir()
    bands = 1 if pixels.ndim == 2 else len(pixels)
    rows, cols = pixels.shape[-2:]
    spool = BlockSpool(folder, (rows, cols), [SpoolLayer(name="a", dtype=pixels.dtype.name, bands=bands)])
    for row in range(0, rows, height):
        for col in range(0, cols, width):
            spool.append(encode_block(row, col, {"a": pixels[..., row : row + height, col : col + width]}))
    return spool


def write_ours(spool: BlockSpool, path: Path, kind: Kind, grid: Grid, **options: Any) -> None:  # noqa: ANN401
    if kind.resampling == "MODE":
        write_label_cog(spool, path, grid=grid, classes=CLASSES, layer="a", tags=TAGS, **options)
    else:
        names = kind.band_names
        write_raster(spool, path, grid=grid, nodata=kind.nodata, layer="a", tags=TAGS, band_names=names, **options)


def write_gdals(pixels: NDArray[Any], path: Path, kind: Kind, grid: Grid) -> None:
    """Copy a VRT with the same look into a COG."""
    raw, vrt = path.with_suffix(".raw.tif"), path.with_suffix(".vrt")
    cube = pixels.reshape(-1, *pixels.shape[-2:]).astype("float32" if kind.dtype == "float16" else kind.dtype)
    profile = {"height": grid.height, "width": grid.width, "count": kind.bands, "dtype": cube.dtype}
    with rasterio.open(raw, "w", driver="GTiff", transform=Affine.scale(2), **profile) as dst:
        dst.write(cube)
    is_labels = kind.resampling == "MODE"
    write_block_vrt(
        vrt,
        grid,
        [((0, grid.height, 0, grid.width), raw)],
        band=VrtBand(dtype=kind.dtype, count=kind.bands, nodata=kind.nodata, descriptions=kind.band_names),
        colors=COLORS if is_labels else {},
        names=category_names(CLASSES) if is_labels else [],
        tags=TAGS,
    )
    half = {"nbits": 16, "predictor": "yes"} if kind.dtype == "float16" else {}
    rasterio.shutil.copy(
        vrt, path, driver="COG", compress="deflate", blocksize=512, overview_resampling=kind.resampling, **half
    )


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize(
    ("name", "shape", "grid_name"),
    [
        ("labels", (1027, 601), "north-up"),
        ("labels", (40, 50), "rotated, of its own"),
        ("confidence", (601, 530), "rotated, of its own"),
        ("probabilities", (320, 530), "nowhere"),
        ("half", (330, 513), "north-up"),
    ],
)
def test_all_is_as_gdal_writes_it(tmp_path: Path, name: str, shape: tuple[int, int], grid_name: str) -> None:
    kind, (transform, crs) = KINDS[name], GRIDS[grid_name]
    grid, pixels = Grid(shape=shape, transform=transform, crs=crs), pixels_of(kind, shape)
    ours, gdals, cut = tmp_path / "ours.tif", tmp_path / "gdals.tif", tmp_path / "cut.tif"
    write_ours(spool_of(pixels, tmp_path / "aligned", height=512, width=4096), ours, kind, grid)
    write_ours(spool_of(pixels, tmp_path / "any", height=300, width=250), cut, kind, grid)
    assert ours.read_bytes() == cut.read_bytes(), "no cut into blocks shows"
    write_gdals(pixels, gdals, kind, grid)
    assert facts_of(ours) == facts_of(gdals)
    for level in range(-1, len(facts_of(ours)["overviews"])):
        found, want = (read_level(path, level) for path in (ours, gdals))
        if kind.dtype == "float16" and level >= 0:  # GDAL cuts off bits where we round
            np.testing.assert_allclose(found, want, rtol=2**-9)
        else:
            np.testing.assert_array_equal(found, want)
    check_cog(ours)


def read_level(path: Path, level: int) -> NDArray[Any]:
    with rasterio.open(path, **({} if level < 0 else {"overview_level": level})) as src:
        return src.read()  # type: ignore[no-any-return]


def facts_of(path: Path) -> dict[str, Any]:
    """Give all that a file says beside its pixels, in its `.aux.xml`, too."""
    beside = path.with_name(f"{path.name}.aux.xml")
    with path.open("rb") as file, rasterio.open(path) as src:
        tags = [
            {
                number: tag.numbers().tolist() if number in (WIDTH, HEIGHT) else tag
                for number, tag in one.items()
                if number not in (OFFSETS, BYTE_COUNTS)
            }
            for one in read_directories(file)
        ]
        return {
            "tags": tags,
            "structure": read_structure(file),
            "beside": beside.read_bytes() if beside.exists() else None,
            "profile": str(dict(src.profile)),
            "metadata": [src.tags(), src.tags(ns="IMAGE_STRUCTURE"), src.descriptions, src.colorinterp],
            "overviews": src.overviews(1),
        }


def check_cog(path: Path) -> None:
    """Check what GDAL's validate_cloud_optimized_geotiff.py checks, by what GDAL itself sees."""
    content = path.read_bytes()
    with rasterio.open(path) as src:
        count = len(src.overviews(1))
        item = functools.partial(src.get_tag_item, dm="TIFF", bidx=1)
        directories = [int(item("IFD_OFFSET"))]
        directories += [int(item("IFD_OFFSET", ovr=level)) for level in range(count)]
        firsts = [int(item("BLOCK_OFFSET_0_0"))] + [int(item("BLOCK_OFFSET_0_0", ovr=n)) for n in range(count)]
        last = int(item("BLOCK_OFFSET_0_0", ovr=count - 1) if count else firsts[0])
        assert src.profile["tiled"]
        sizes = [src.shape, *((src.height // n, src.width // n) for n in src.overviews(1))]
        assert max(sizes[-1]) <= 512 or not count
        blocks = [
            (int(item(f"BLOCK_OFFSET_{col}_{row}")), int(item(f"BLOCK_SIZE_{col}_{row}")))
            for row in range(-(-src.height // 512))
            for col in range(-(-src.width // 512))
        ]
    assert directories == sorted(directories)
    assert content[directories[0] - 1] in b" \n\0", "the first directory follows what is said of the structure"
    assert directories[-1] < last, "all directories stand before all data"
    assert firsts == sorted(firsts, reverse=True), "small levels stand before large ones"
    assert blocks == sorted(blocks), "blocks stand row by row"
    for offset, size in blocks:
        assert int.from_bytes(content[offset - 4 : offset], "little") == size
        assert content[offset + size : offset + size + 4] == content[offset + size - 4 : offset + size]


@pytest.mark.parametrize("largest", [1000, LARGEST_CLASSIC])
def test_overviews_made_meanwhile_and_big_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    monkeypatch.setattr(cog, "lay_out", functools.partial(lay_out, largest_classic=largest))
    kind, shape = KINDS["labels"], (1100, 700)
    transform, crs = GRIDS["north-up"]
    grid, pixels = Grid(shape=shape, transform=transform, crs=crs), pixels_of(kind, shape)
    spool = BlockSpool(tmp_path, shape, [SpoolLayer(name="a", dtype="uint8")])
    following = follow_labels(spool, "a")
    for row in range(0, 1100, 512):
        spool.append(encode_block(row, 0, {"a": pixels[row : row + 512]}))
    path, want = tmp_path / "a.tif", tmp_path / "want.tif"
    write_ours(spool, path, kind, grid, overviews=following)
    assert path.read_bytes()[2] == (43 if largest == 1000 else 42)
    check_cog(path)
    write_gdals(pixels, want, kind, grid)
    for level in (-1, 0, 1):
        np.testing.assert_array_equal(read_level(path, level), read_level(want, level))


@pytest.mark.parametrize("change", ["other codec", "other squares", "cut off"])
def test_blocks_that_are_not_as_the_raster_are_compressed_again_or_refused(tmp_path: Path, change: str) -> None:
    kind, (transform, crs) = KINDS["labels"], GRIDS["north-up"]
    grid, pixels = Grid(shape=(512, 700), transform=transform, crs=crs), pixels_of(kind, (512, 700))
    write_ours(spool_of(pixels, tmp_path / "want", height=512, width=700), tmp_path / "want.tif", kind, grid)
    spool = spool_of(pixels, tmp_path / "spool", height=512, width=700)
    (block,) = (tmp_path / "spool").glob("*.tif")
    content = block.read_bytes()
    if change == "cut off":
        block.write_bytes(content[: len(content) // 2])
        with pytest.raises(OutputError, match="a-000000000-000000000"):
            write_ours(spool, tmp_path / "a.tif", kind, grid)
        return
    size = 256 if change == "other squares" else 512
    options = {"tiled": True, "blockxsize": size, "blockysize": size, "compress": "deflate" if size == 256 else "lzw"}
    profile = {"height": 512, "width": 700, "count": 1, "dtype": "uint8", "transform": Affine.scale(2)}
    with rasterio.open(block, "w", driver="GTiff", **profile, **options) as dst:
        dst.write(pixels, 1)
    write_ours(spool, tmp_path / "a.tif", kind, grid)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "want.tif").read_bytes()
