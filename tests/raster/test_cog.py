import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster import cog
from geodeeplab.raster.cog import LabelClass, write_label_cog, write_raster
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.spool.encoded import SpoolLayer, encode_block
from geodeeplab.raster.spool.store import BlockSpool
from tests.examples import few

CLASSES = [
    LabelClass(id=1, name="building", color=(200, 30, 30)),
    LabelClass(id=3, name="Wald & Wiese <dicht>", color=(0, 120, 40)),
]
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
UTM = CRS.from_epsg(32633)


def spool_of(raster: NDArray[np.generic], folder: Path, *, rows: int = 100, layer: str = "labels") -> BlockSpool:
    folder.mkdir(exist_ok=True)
    bands = 1 if raster.ndim == 2 else len(raster)
    layers = [SpoolLayer(name=layer, dtype=raster.dtype.name, bands=bands)]
    spool = BlockSpool(folder, (raster.shape[-2], raster.shape[-1]), layers)
    for start in range(0, raster.shape[-2], rows):
        spool.append(encode_block(start, 0, {layer: raster[..., start : start + rows, :]}))
    return spool


def random_labels(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.array([0, 1, 3], np.uint8), shape)


def category_names(path: Path) -> list[str]:
    """The names as GDAL reads them: it tells them to a VRT, which we can read."""
    vrt = path.with_suffix(".vrt")
    rasterio.shutil.copy(path, vrt, driver="VRT")
    names = [element.text or "" for element in ElementTree.parse(vrt).iter("Category")]
    vrt.unlink()
    return names


def written(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_label_cog_has_all_that_it_should(tmp_path: Path, out: Path) -> None:
    labels = random_labels((1100, 1300))
    tags = {"model": "landcover-aerial", "AREA_OR_POINT": "Area"}
    grid = Grid(shape=labels.shape, transform=NORTH_UP, crs=UTM)
    write_label_cog(spool_of(labels, tmp_path / "spool"), out / "a.tif", grid=grid, classes=CLASSES, tags=tags)
    assert written(out) == ["a.tif", "a.tif.aux.xml"]
    with rasterio.open(out / "a.tif") as src:
        np.testing.assert_array_equal(src.read(1), labels)
        assert (src.crs, src.transform, src.nodata, src.dtypes) == (UTM, NORTH_UP, 0, ("uint8",))
        assert src.colorinterp == (ColorInterp.palette,)
        colors = src.colormap(1)
        assert [colors[i] for i in range(4)] == [(0, 0, 0, 0), (200, 30, 30, 255), (0, 0, 0, 255), (0, 120, 40, 255)]
        assert src.tags()["model"] == "landcover-aerial"
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert src.profile["compress"] == "deflate"
        assert src.block_shapes == [(512, 512)]
        assert src.overviews(1) == [2, 4]
    assert category_names(out / "a.tif") == ["nodata", "building", "", "Wald & Wiese <dicht>"]


def test_overviews_are_by_mode(tmp_path: Path, out: Path) -> None:
    block = np.array([[1, 1, 3, 3], [1, 3, 3, 1], [0, 1, 0, 0], [1, 1, 0, 3]], np.uint8)
    labels = np.tile(block, (200, 200))
    grid = Grid(shape=labels.shape, transform=NORTH_UP, crs=UTM)
    write_label_cog(spool_of(labels, tmp_path / "spool"), out / "a.tif", grid=grid, classes=CLASSES)
    with rasterio.open(out / "a.tif", overview_level=0) as src:
        assert src.shape == (400, 400)
        assert src.read(1)[:2, :2].tolist() == [[1, 3], [1, 3]]  # nodata has no vote


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3, 5), (513, 512)])
@pytest.mark.parametrize(
    "transform",
    [NORTH_UP, Affine(1, 0.5, 7, 0.5, -1, 9), Affine(1, 0.7, 7, 0, -1, 9), Affine(2, 0, 7, 0, 2, 9), Affine.identity()],
    ids=["north-up", "rotated", "sheared", "south-up", "none"],
)
def test_any_shape_and_grid_comes_back(tmp_path: Path, out: Path, shape: tuple[int, int], transform: Affine) -> None:
    labels = random_labels(shape)
    grid = Grid(shape=shape, transform=transform, crs=None)
    write_label_cog(spool_of(labels, tmp_path / "spool"), out / "a.tif", grid=grid, classes=CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(out / "a.tif") as src:
            np.testing.assert_array_equal(src.read(1), labels)
            assert src.transform.almost_equals(transform)
            assert src.crs is None


@pytest.mark.parametrize("epsg", [4326, 3857, 2193, 27572, 3031])
def test_crs_comes_back(tmp_path: Path, out: Path, epsg: int) -> None:
    grid = Grid(shape=(2, 3), transform=NORTH_UP, crs=CRS.from_epsg(epsg))
    write_label_cog(spool_of(random_labels((2, 3)), tmp_path / "spool"), out / "a.tif", grid=grid, classes=CLASSES)
    with rasterio.open(out / "a.tif") as src:
        assert src.crs == grid.crs
        assert src.transform == NORTH_UP


def test_confidence_raster_is_grey_with_overviews_by_average(tmp_path: Path, out: Path) -> None:
    confidence = np.tile(np.array([[10, 20], [255, 30]], np.uint8), (300, 300))
    grid = Grid(shape=confidence.shape, transform=NORTH_UP, crs=UTM)
    spool = spool_of(confidence, tmp_path / "spool", layer="confidence")
    write_raster(spool, out / "a.tif", grid=grid, nodata=255, tags={"model": "m"})
    assert written(out) == ["a.tif"]
    with rasterio.open(out / "a.tif") as src:
        np.testing.assert_array_equal(src.read(1), confidence)
        assert (src.nodata, src.colorinterp, src.tags()["model"]) == (255, (ColorInterp.gray,), "m")
    with rasterio.open(out / "a.tif", overview_level=0) as src:
        assert (src.read(1) == 20).all()


def test_overwriting_replaces_the_names_too(tmp_path: Path, out: Path) -> None:
    spool = spool_of(random_labels((2, 3)), tmp_path / "spool")
    grid = Grid(shape=(2, 3), transform=NORTH_UP, crs=UTM)
    write_label_cog(spool, out / "a.tif", grid=grid, classes=CLASSES)
    with pytest.raises(OutputError, match="`overwrite=True`"):
        write_label_cog(spool, out / "a.tif", grid=grid, classes=[])
    write_label_cog(spool, out / "a.tif", grid=grid, classes=CLASSES[:1], overwrite=True)
    assert category_names(out / "a.tif") == ["nodata", "building"]
    write_raster(spool, out / "a.tif", layer="labels", grid=grid, nodata=None, overwrite=True)
    assert written(out) == ["a.tif"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_when_writing_is_cut_off(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def write_half(source: Path, target: Path, **options: object) -> None:
        for end in ("", ".aux.xml", ".ovr.tmp"):
            Path(f"{target}{end}").touch()
        raise error

    monkeypatch.setattr(rasterio.shutil, "copy", write_half)
    with pytest.raises(error):
        write_label_cog(
            spool_of(random_labels((2, 3)), tmp_path / "spool"),
            out / "a.tif",
            grid=Grid(shape=(2, 3), transform=NORTH_UP, crs=UTM),
            classes=CLASSES,
        )
    assert written(out) == []


@pytest.mark.parametrize("share", few([0.2, 0.6, 0.9, 0.999], 2))
def test_a_truncated_file_never_gets_its_name(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    labels = random_labels((1100, 1300))
    check = cog._check_complete

    def lose_the_end(path: Path, *, shape: tuple[int, int]) -> None:
        with open(path, "rb+") as file:
            file.truncate(int(path.stat().st_size * share))
        check(path, shape=shape)

    monkeypatch.setattr(cog, "_check_complete", lose_the_end)
    with pytest.raises(OutputError, match=r"cannot write .*a\.tif"):
        write_label_cog(
            spool_of(labels, tmp_path / "spool"),
            out / "a.tif",
            grid=Grid(shape=labels.shape, transform=NORTH_UP, crs=UTM),
            classes=CLASSES,
        )
    assert written(out) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("check_first", few([True, False], 1))
def test_a_full_disk_is_one_clear_line(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, check_first: bool
) -> None:
    labels = random_labels((3000, 3000))
    spool = spool_of(labels, tmp_path / "spool")
    if not check_first:
        monkeypatch.setattr(cog, "_check_free_space", lambda path, need: None)
    grid = Grid(shape=labels.shape, transform=NORTH_UP, crs=UTM)
    with pytest.raises(OutputError, match=r"^cannot write .*a\.tif.*space") as caught:
        write_label_cog(spool, small_disk / "a.tif", grid=grid, classes=CLASSES)
    assert "\n" not in str(caught.value)
    assert written(small_disk) == []


def test_a_full_disk_stops_the_spool(small_disk: Path) -> None:
    with pytest.raises(OutputError, match="no space left on the disk"):
        spool_of(random_labels((3000, 3000)), small_disk)


def test_refuses_wrong_classes(tmp_path: Path, out: Path) -> None:
    for id_ in (-1, 256):
        with pytest.raises(OptionError, match=f"'sea' has id {id_}: ids go from 0 to 255"):
            LabelClass(id=id_, name="sea", color=(0, 0, 0))
    with pytest.raises(OptionError, match=r"colour \(0, 0, 256\)"):
        LabelClass(id=1, name="sea", color=(0, 0, 256))
    twice = [*CLASSES, LabelClass(id=3, name="sea", color=(0, 0, 9))]
    grid = Grid(shape=(2, 3), transform=NORTH_UP, crs=UTM)
    with pytest.raises(OptionError, match="'sea' share id 3"):
        write_label_cog(spool_of(random_labels((2, 3)), tmp_path / "spool"), out / "a.tif", grid=grid, classes=twice)


def test_refuses_an_unfinished_spool(tmp_path: Path, out: Path) -> None:
    spool = BlockSpool(tmp_path, (4, 3), [SpoolLayer(name="confidence", dtype="uint8")])
    with pytest.raises(ValueError, match="does not hold the whole scene"):
        write_raster(spool, out / "a.tif", grid=Grid(shape=(4, 3), transform=NORTH_UP, crs=UTM), nodata=None)


def test_probabilities_are_exact_in_all_bands(tmp_path: Path, out: Path) -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((5, 700, 600)).astype(np.float16)
    probs[:, 100:200, 100:300] = np.nan
    probs.reshape(-1)[:5] = np.array([0, 6e-8, 6.1e-5, 65504, 1], dtype=np.float16)  # least, subnormal, greatest
    spool = spool_of(probs, tmp_path / "spool", rows=384, layer="probs")
    grid = Grid(shape=(700, 600), transform=NORTH_UP, crs=UTM)
    names = [f"class {number}" for number in range(5)]
    write_raster(spool, out / "a.tif", layer="probs", grid=grid, nodata=float("nan"), band_names=names)
    with rasterio.open(out / "a.tif") as src:
        np.testing.assert_array_equal(src.read(), probs.astype(np.float32))
        assert np.isnan(src.nodata)
        assert src.descriptions == tuple(names)
        assert src.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert src.overviews(5) == [2]
    with rasterio.open(out / "a.tif", overview_level=0) as src:
        coarse = src.read()
        assert coarse.shape == (5, 350, 300)
        assert np.isnan(coarse[:, 50:100, 50:150]).all()
        want = probs.astype(np.float64).reshape(5, 350, 2, 300, 2).mean(axis=(2, 4))
        np.testing.assert_allclose(coarse[:, 200:], want[:, 200:], atol=1e-3)


def test_many_byte_bands_with_blocks_side_by_side(tmp_path: Path, out: Path) -> None:
    probs = np.random.default_rng(0).integers(0, 101, (20, 130, 90), dtype=np.uint8)
    spool = BlockSpool(tmp_path, (130, 90), [SpoolLayer(name="probs", dtype="uint8", bands=20)])
    for top in (65, 0):
        for left in (45, 0):
            spool.append(encode_block(top, left, {"probs": probs[:, top : top + 65, left : left + 45]}))
    grid = Grid(shape=(130, 90), transform=NORTH_UP, crs=UTM)
    write_raster(spool, out / "a.tif", layer="probs", grid=grid, nodata=255)
    with rasterio.open(out / "a.tif") as src:
        np.testing.assert_array_equal(src.read(), probs)
        assert src.nodatavals == (255,) * 20


def test_progress_goes_from_0_to_1(tmp_path: Path, out: Path) -> None:
    labels = random_labels((1500, 1500))
    grid, shares = Grid(shape=labels.shape, transform=NORTH_UP, crs=UTM), list[float]()
    spool = spool_of(labels, tmp_path / "spool")
    write_label_cog(spool, out / "a.tif", grid=grid, classes=CLASSES, progress=shares.append)
    assert (shares[0], shares[-1]) == (0, 1)
    assert shares == sorted(shares)
    assert len(shares) > 2
    with rasterio.open(out / "a.tif") as src:
        np.testing.assert_array_equal(src.read(1), labels)


def test_progress_may_stop_the_work(tmp_path: Path, out: Path) -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    grid = Grid(shape=(2, 3), transform=NORTH_UP, crs=UTM)
    with pytest.raises(KeyboardInterrupt):
        write_label_cog(
            spool_of(random_labels((2, 3)), tmp_path / "spool"),
            out / "a.tif",
            grid=grid,
            classes=CLASSES,
            progress=stop,
        )
    assert written(out) == []
