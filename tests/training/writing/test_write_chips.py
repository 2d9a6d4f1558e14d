"""Chips written and read again."""

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabWarning, OptionError, OutputError, SceneError
from geodeeplab.models import ModelClass
from geodeeplab.raster import Band, Grid
from geodeeplab.training import IGNORE_INDEX
from geodeeplab.training.folders.chip_files import ImageFormat
from geodeeplab.training.folders.chip_folder import ChipFolder, open_chip_folder
from geodeeplab.training.scenes.labelled import LabelledPixels
from geodeeplab.training.writing.chip_tiles import ChipLattice, iter_chips
from geodeeplab.training.writing.write_chips import ChipOptions, Layout, write_chips
from tests.examples import few

CLASSES = (
    ModelClass(id=1, name="field", color=(220, 200, 90)),
    ModelClass(id=7, name="wood", color=(30, 110, 50)),
    ModelClass(id=9, name="roof", color=(200, 60, 50)),
)


class DrawnScene:
    """A labelled scene in memory: noise, stripes of classes, a corner without data and one without labels."""

    def __init__(
        self,
        height: int = 70,
        width: int = 100,
        *,
        dtype: str = "uint8",
        bands: tuple[str, ...] = ("red", "green", "blue"),
        nodata: float | None = None,
        seed: int = 0,
        transform: Affine | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.name, self.group, self.files = f"drawn {seed}", None, ()
        transform = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000) if transform is None else transform
        self.grid = Grid(shape=(height, width), transform=transform, crs=rasterio.crs.CRS.from_epsg(32633))
        self.bands = tuple(
            Band(number=i, name=name, dtype=np.dtype(dtype), scale=1.0, offset=0.0, nodata=nodata, colorinterp="gray")
            for i, name in enumerate(bands, start=1)
        )
        self.array: npt.NDArray[Any] = rng.integers(1, 250, (len(bands), height, width)).astype(dtype)
        self.valid = np.ones((height, width), dtype=np.bool_)
        self.valid[: height // 4, : width // 4] = False
        self.labels = np.broadcast_to((np.arange(width) // 9 % 3).astype(np.uint8), (height, width)).copy()
        self.labels[-height // 4 :, -width // 4 :] = IGNORE_INDEX

    def read(self, window: Window) -> LabelledPixels:
        rows, cols = window.toslices()
        assert 0 <= rows.start < rows.stop <= self.grid.height
        assert 0 <= cols.start < cols.stop <= self.grid.width
        return LabelledPixels(
            array=self.array[:, rows, cols], valid=self.valid[rows, cols], labels=self.labels[rows, cols]
        )

    def read_objects(self, window: Window) -> None:
        """There are none."""

    def close(self) -> None:
        """Nothing is open."""


def options(tile_size: int = 32, *, stride: int | None = None, rotation: float = 0.0, **others: Any) -> ChipOptions:  # noqa: ANN401
    return ChipOptions(lattice=ChipLattice(tile_size=tile_size, stride=stride, rotation=rotation), **others)


def read_all(folder: ChipFolder) -> list[LabelledPixels]:
    return [scene.read(Window(0, 0, scene.grid.width, scene.grid.height)) for scene in folder.scenes]


def check_equals_scene(folder: ChipFolder, drawn: DrawnScene, *, exact: bool = True) -> None:
    """Check that chips side by side hold the scene, where it lies, each pixel once."""
    seen = np.zeros(drawn.grid.shape, dtype=np.int64)
    for scene, pixels in zip(folder.scenes, read_all(folder), strict=True):
        assert scene.grid.crs == drawn.grid.crs
        left, top = ~drawn.grid.transform @ (scene.grid.transform @ (0, 0))
        row, col = round(top), round(left)
        assert (left, top) == pytest.approx((col, row), abs=1e-9)
        assert scene.grid.res == pytest.approx(drawn.grid.res)
        height, width = min(32, drawn.grid.height - row), min(32, drawn.grid.width - col)
        at = slice(row, row + height), slice(col, col + width)
        valid = pixels.valid[:height, :width]
        assert (valid == drawn.valid[at]).all()
        assert pixels.valid.sum() == valid.sum(), "what lies outside of the scene is no data"
        expected = np.where(drawn.valid[at], drawn.labels[at], IGNORE_INDEX)
        assert (pixels.labels[:height, :width] == expected).all()
        assert (pixels.labels[~pixels.valid] == IGNORE_INDEX).all()
        differences = np.abs(pixels.array[:, :height, :width].astype(float) - drawn.array[(slice(None), *at)])
        assert differences[:, valid].max(initial=0) <= (0 if exact else 25)
        assert scene.bands[0].dtype == drawn.bands[0].dtype
        seen[at] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("layout", ["esri", "pairs"])
@pytest.mark.parametrize("with_map", few([True, False], 1))
@pytest.mark.parametrize(
    ("image_format", "dtype", "bands", "nodata"),
    [
        ("tif", "uint8", ("red", "green", "blue"), None),
        ("tif", "uint16", ("red", "green", "blue", "nir"), 0.0),
        ("tif", "float32", ("height",), -9999.0),
        ("png", "uint8", ("red", "green", "blue"), None),
        ("png", "uint16", ("nir",), None),
        ("jpg", "uint8", ("red", "green", "blue"), None),
    ],
)
def test_what_is_written_is_read_again(
    tmp_path: Path,
    layout: Layout,
    with_map: bool,
    image_format: ImageFormat,
    dtype: str,
    bands: tuple[str, ...],
    nodata: float | None,
) -> None:
    drawn = DrawnScene(dtype=dtype, bands=bands, nodata=nodata)
    if image_format == "jpg":
        drawn.array[:] = np.add.outer(np.arange(70), np.arange(100))  # grey and smooth: hardly any loss
    facts = write_chips([drawn], CLASSES, tmp_path / "chips", options(layout=layout, image_format=image_format,
                                                                     keep_unlabelled=True))  # fmt: skip
    assert facts["chips"] == 12
    if not with_map:
        (tmp_path / "chips" / "map.txt").unlink(missing_ok=True)
    folder = open_chip_folder(tmp_path / "chips")
    check_equals_scene(folder, drawn, exact=image_format != "jpg")
    assert folder.classes == CLASSES
    assert tuple(band.name for band in folder.scenes[0].bands) == bands
    assert facts["class_pixels"] == {
        one.name: int(((drawn.labels == i) & drawn.valid).sum()) for i, one in enumerate(CLASSES)
    }


def test_a_folder_can_be_pickled_before_and_after_it_is_read(tmp_path: Path) -> None:
    write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options())
    folder = open_chip_folder(tmp_path / "chips")
    before = pickle.loads(pickle.dumps(folder.scenes))
    first = read_all(folder)
    after = pickle.loads(pickle.dumps(folder.scenes))
    for scenes in (before, after):
        again = read_all(ChipFolder(scenes=scenes, classes=folder.classes, facts={}))
        assert all(
            (a.array == b.array).all() and (a.labels == b.labels).all() for a, b in zip(first, again, strict=True)
        )
    for scene in folder.scenes:
        scene.close()
        scene.close()
    assert (read_all(folder)[0].array == first[0].array).all()


@given(
    height=st.integers(1, 50), width=st.integers(1, 50), size=st.integers(1, 40), data=st.data()
)  # fmt: skip
def test_chips_cover_a_scene_and_side_by_side_partition_it(height: int, width: int, size: int, data: Any) -> None:  # noqa: ANN401
    stride = data.draw(st.integers(1, size))
    for step in (stride, size):
        seen = np.zeros((height, width), dtype=np.int64)
        for row, col in ChipLattice(tile_size=size, stride=step).corners((height, width)):
            assert row < height
            assert col < width
            seen[row : row + size, col : col + size] += 1
        assert (seen >= 1).all()
    assert (seen == 1).all()


@given(quarters=st.integers(0, 3), row=st.integers(0, 60), col=st.integers(0, 90))
def test_a_chip_turned_by_quarters_has_the_pixels_of_the_ground(quarters: int, row: int, col: int) -> None:
    drawn = DrawnScene(transform=Affine(0.5, 0.1, 500_000, 0.1, -0.5, 5_000_000))
    chip = list(iter_chips(drawn, ChipLattice(tile_size=9, rotation=90), (row, col)))[quarters]
    for i in range(9):
        for j in range(9):
            x, y = ~drawn.grid.transform @ (chip.grid.transform @ (j + 0.5, i + 0.5))
            at = int(np.floor(y)), int(np.floor(x))
            is_inside = at[0] < 70 and at[1] < 100
            assert chip.valid[i, j] == (is_inside and drawn.valid[at])
            if chip.valid[i, j]:
                assert chip.labels[i, j] == drawn.labels[at]
                assert (chip.array[:, i, j] == drawn.array[(slice(None), *at)]).all()


def test_a_chip_turned_by_any_angle_lies_where_its_grid_says() -> None:
    drawn = DrawnScene(200, 200, dtype="uint16")
    drawn.array = np.broadcast_to(np.arange(200) * 100, (3, 200, 200)).astype(np.uint16)  # 100 × column
    drawn.array[1] = drawn.array[1].T
    chips = list(iter_chips(drawn, ChipLattice(tile_size=40, rotation=25), (100, 80)))
    assert len(chips) == 15
    for chip in chips:
        assert chip.valid.all()
        assert chip.grid.res == pytest.approx((0.5, 0.5))
        cols, rows = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
        x, y = ~drawn.grid.transform @ (chip.grid.transform @ (cols, rows))
        assert np.abs(chip.array[0] - (x - 0.5) * 100).max() < 1
        assert np.abs(chip.array[1] - (y - 0.5) * 100).max() < 1
        assert (chip.labels == drawn.labels[y.astype(int), x.astype(int)]).mean() > 0.999


def test_the_first_picture_turns_counter_clockwise() -> None:
    drawn = DrawnScene(8, 8)
    drawn.array[:] = 0
    drawn.array[0, 0, 7] = 200  # top right comes to the top left
    straight, turned = list(iter_chips(drawn, ChipLattice(tile_size=8, rotation=180), (0, 0)))
    assert straight.array[0, 0, 7] == turned.array[0, 7, 0] == 200
    quarter = list(iter_chips(drawn, ChipLattice(tile_size=8, rotation=90), (0, 0)))[1]
    assert quarter.array[0, 0, 0] == 200


def test_esris_files_hold_what_was_counted(tmp_path: Path) -> None:
    drawn = DrawnScene(64, 96)
    write_chips([drawn], CLASSES, tmp_path / "chips", options(min_labelled=0.05))
    folder = tmp_path / "chips"
    lines = (folder / "map.txt").read_text().splitlines()
    assert lines[1] == "images/000000001.tif  labels/000000001.tif"
    definition, statistics = (
        json.loads((folder / name).read_text()) for name in ("esri_model_definition.emd", "esri_accumulated_stats.json")
    )
    assert definition["Classes"][1] == {"Value": 7, "Name": "wood", "Color": [30, 110, 50]}
    assert definition["InputRastersProps"]["BandNames"] == ["Red", "Green", "Blue"]
    assert definition["MinCellSize"] == {"x": 0.5, "y": 0.5, "spatialReference": {"wkid": 32633, "latestWkid": 32633}}
    chips = read_all(open_chip_folder(folder))
    labels = np.stack([chip.labels for chip in chips])
    pixels = statistics["ClassPixelStats"]
    assert statistics["NumTiles"] == len(chips) == len(lines)
    for i in range(3):
        per_chip = (labels == i).sum(axis=(1, 2))
        assert pixels["NumPixelsPerClass"][i] == per_chip.sum()
        assert pixels["NumImagesPerClass"][i] == (per_chip > 0).sum()
        assert pixels["PixelsPerClass"][i]["Min"] == per_chip.min()
    values = np.concatenate([chip.array[:, chip.valid] for chip in chips], axis=1).astype(float)
    for i, state in enumerate(statistics["BandStatsState"]):
        assert state["M1"] == pytest.approx(values[i].mean())
        assert state["M2"] == pytest.approx(values[i].var() * values.shape[1])
        assert definition["AllTilesStats"][i]["StdDev"] == pytest.approx(values[i].std())
        assert (state["Min"], state["Max"], state["Num"]) == (values[i].min(), values[i].max(), values.shape[1])
    text = (folder / "stats.txt").read_text().splitlines()
    assert text[0] == f"images = {len(chips)} *3*32*32"
    assert text[4].split()[:4] == [
        "field",
        "1",
        str(pixels["NumImagesPerClass"][0]),
        str(pixels["NumPixelsPerClass"][0]),
    ]


def test_world_files_say_what_the_chips_do(tmp_path: Path) -> None:
    drawn = DrawnScene(transform=Affine(0.5, 0.1, 500_000, 0.1, -0.5, 5_000_000))
    write_chips([drawn], CLASSES, tmp_path / "chips", options(image_format="png"))
    for path in (tmp_path / "chips" / "images").glob("*.aux.xml"):
        path.unlink()
    for scene in open_chip_folder(tmp_path / "chips").scenes:
        assert Path(scene.files[0]).with_suffix(".pgw").exists()
        left, top = ~drawn.grid.transform @ (scene.grid.transform @ (0, 0))
        assert (left / 32, top / 32) == pytest.approx((round(left / 32), round(top / 32)), abs=1e-6)
        assert scene.grid.crs is None, "a world file has no CRS"


def test_chips_that_are_left_out(tmp_path: Path) -> None:
    drawn = DrawnScene(64, 64)
    drawn.valid[:] = True
    drawn.valid[:32, :32] = False  # no data
    drawn.labels[:32, 32:] = IGNORE_INDEX  # no label
    drawn.labels[32:, :32] = IGNORE_INDEX
    drawn.labels[32, :4] = 1  # four pixels
    for others, kept in (({}, 2), ({"keep_unlabelled": True}, 3), ({"min_labelled": 0.01}, 1)):
        facts = write_chips([drawn], CLASSES, tmp_path / "chips", options(**others), overwrite=True)
        assert facts["chips"] == kept
        assert facts["left_out"] == {"unlabelled": 3 - kept, "nodata": 1}
    drawn.valid[40:, :] = False
    assert write_chips([drawn], CLASSES, tmp_path / "others", options(max_nodata=0.8))["chips"] == 2
    assert write_chips([drawn], CLASSES, tmp_path / "more", options(max_nodata=0.8, keep_unlabelled=True))["chips"] == 3
    with pytest.raises(SceneError, match="no chip is left to write, 1 have too few labelled pixels and 3 no data"):
        write_chips([drawn], CLASSES, tmp_path / "none", options(max_nodata=0.1))
    assert not (tmp_path / "none").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_chips_that_share_ground_are_warned_of(tmp_path: Path) -> None:
    with pytest.warns(GeoDeepLabWarning, match=r"share ground \(a stride of 16 is less than the tile size of 32\)"):
        write_chips([DrawnScene()], CLASSES, tmp_path / "a", options(stride=16))
    with pytest.warns(GeoDeepLabWarning, match="each is written at 4 angles"):
        facts = write_chips([DrawnScene(32, 32)], CLASSES, tmp_path / "b", options(rotation=90))
    assert facts["chips"] == 4
    assert [scene.grid.crs for scene in open_chip_folder(tmp_path / "b").scenes] == [DrawnScene().grid.crs] * 4


def test_scenes_with_other_bands_are_refused(tmp_path: Path) -> None:
    scenes = [DrawnScene(), DrawnScene(bands=("red", "green", "nir"), seed=1)]
    with pytest.raises(SceneError, match=r"'drawn 0' has red \(uint8\), .* and 'drawn 1' .* nir \(uint8\)"):
        write_chips(scenes, CLASSES, tmp_path / "chips", options())
    facts = write_chips([DrawnScene(), DrawnScene(seed=2)], CLASSES, tmp_path / "chips", options())
    assert facts["scenes"] == ["drawn 0", "drawn 2"]
    assert len(open_chip_folder(tmp_path / "chips").scenes) == facts["chips"]


@pytest.mark.parametrize(
    ("image_format", "dtype", "bands", "match"),
    [
        ("jpg", "uint16", 3, "a jpg image has 1 or 3 bands of uint8, not 3 of uint16: write tif, or choose bands"),
        ("png", "uint8", 4, "a png image has 1 or 3 bands of uint8 or uint16, not 4 of uint8"),
        ("png", "float32", 1, "not 1 of float32"),
        ("bmp", "uint8", 3, "`image_format=` is one of tif, png, jpg, not 'bmp'"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path: Path, image_format: Any, dtype: str, bands: int, match: str) -> None:  # noqa: ANN401
    drawn = DrawnScene(dtype=dtype, bands=tuple("abcd"[:bands]))
    with pytest.raises(OptionError, match=match):
        write_chips([drawn], CLASSES, tmp_path / "chips", options(image_format=image_format))


@pytest.mark.parametrize(
    ("lattice", "others", "match"),
    [
        ({"tile_size": 0}, {}, "`tile_size=` is at least 1 pixel, not 0"),
        ({"stride": 33}, {}, r"`stride=` is 1 to `tile_size=` \(32\), not 33"),
        ({"stride": 0}, {}, "not 0"),
        ({"rotation": 360}, {}, "rotation is 0 .none. or degrees up to 360, not 360"),
        ({}, {"min_labelled": 1.5}, "`min_labelled=` is a share of the chip's pixels, from 0 to 1, not 1.5"),
        ({}, {"layout": "coco"}, "the layout is one of esri, pairs, not 'coco'"),
        ({}, {"min_labelled": 0.5, "keep_unlabelled": True}, "leave out `keep_unlabelled=True` or `min_labelled=`"),
    ],
)
def test_options_out_of_range(lattice: dict[str, Any], others: dict[str, Any], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        options(**lattice, **others)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == 12 * 32 * 32
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options(), progress=interrupt)
    assert not list(tmp_path.iterdir())
    write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options())
    before = sorted(path.name for path in (tmp_path / "chips").rglob("*"))
    with pytest.raises(OutputError, match="is not empty: pass `overwrite=True`"):
        write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options())
    with pytest.raises(KeyboardInterrupt):
        write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options(), overwrite=True, progress=interrupt)
    assert sorted(path.name for path in (tmp_path / "chips").rglob("*")) == before
    write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options(64), overwrite=True)
    assert len(open_chip_folder(tmp_path / "chips").scenes) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["chips"]


def test_a_folder_with_anything_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "chips").mkdir()
    write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options())
    (tmp_path / "chips" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds what was not written here \(notes.txt\), and is never replaced"):
        write_chips([DrawnScene()], CLASSES, tmp_path / "chips", options(), overwrite=True)
    with pytest.raises(OutputError, match="does not exist: create it first"):
        write_chips([DrawnScene()], CLASSES, tmp_path / "no" / "chips", options())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is no folder"):
        write_chips([DrawnScene()], CLASSES, tmp_path / "file", options(), overwrite=True)


def test_pillow_reads_the_labels_as_values(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for image_format in ("tif", "png", "jpg"):
        folder = tmp_path / image_format
        write_chips([DrawnScene()], CLASSES, folder, options(image_format=image_format))
        for label in (folder / "labels").glob(f"*.{'tif' if image_format == 'tif' else 'png'}"):
            with image.open(label) as opened, warnings.catch_warnings():
                values = np.asarray(opened.convert("L"))
            assert set(np.unique(values)) <= {0, 1, 7, 9}


def test_a_scene_without_a_place_makes_chips_without_one(tmp_path: Path, make_raster: Callable[..., Path]) -> None:
    drawn = DrawnScene(transform=Affine.identity())
    drawn.grid = Grid(shape=drawn.grid.shape, transform=Affine.identity(), crs=None)
    write_chips([drawn], CLASSES, tmp_path / "chips", options(image_format="png"))
    folder = open_chip_folder(tmp_path / "chips")
    assert {scene.grid.crs for scene in folder.scenes} == {None}
