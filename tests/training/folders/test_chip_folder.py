"""Folders of chips as others make them."""

import json
import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.training import IGNORE_INDEX
from geodeeplab.training.folders.chip_folder import ChipFolder, open_chip_folder
from geodeeplab.training.scenes.labelled import LabelledPixels

Write = Callable[..., Path]
DRIVERS = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}
NAMES = {1: "field", 2: "wood"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes an array (C, H, W) or (H, W) to a file of the test's folder, without a place."""

    def write_file(
        name: str,
        array: npt.ArrayLike,
        *,
        palette: dict[int, tuple[int, ...]] | None = None,
        **profile: Any,  # noqa: ANN401
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(array)
        pixels = pixels[None] if pixels.ndim == 2 else pixels
        count, height, width = pixels.shape
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path,
                "w",
                driver=DRIVERS[path.suffix],
                count=count,
                height=height,
                width=width,
                dtype=pixels.dtype,
                **profile,
            ) as dst:
                if palette is not None:
                    dst.write_colormap(1, palette)
                dst.write(pixels)
        return path

    return write_file


def image(*shape: int, dtype: str = "uint8", seed: int = 0) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def labels(*rows: list[int], dtype: str = "uint8") -> npt.NDArray[Any]:
    return np.array(rows, dtype=dtype)


def read(folder: ChipFolder, number: int = 0) -> LabelledPixels:
    scene = folder.scenes[number]
    return scene.read(Window(0, 0, scene.grid.width, scene.grid.height))


def write_esri(folder: Path, *, classes: list[dict[str, Any]] | None = None, **definition: Any) -> None:  # noqa: ANN401
    """Write the text files as ArcGIS Pro does: examples for what a model would say, Windows' paths."""
    stems = sorted(path.stem for path in (folder / "images").iterdir())
    suffix = next((folder / "images").iterdir()).suffix
    ending = next((folder / "labels").iterdir()).suffix
    lines = [f"images\\{stem}{suffix}  labels\\{stem}{ending} \n" for stem in stems]
    (folder / "map.txt").write_text("".join(lines))
    listed = classes or [
        {"Value": 1, "Name": "field", "Color": [220, 200, 90]},
        {"Value": 2, "Name": "wood", "Color": [-1, -1, -1]},
    ]
    content = {"Framework": "e.g. CNTK", "ImageHeight": "e.g. 256", "ExtractBands": "e.g. [0, 1, 2]", "Classes": listed}
    (folder / "esri_model_definition.emd").write_text(json.dumps(content | definition), encoding="utf-8-sig")
    (folder / "esri_accumulated_stats.json").write_text(json.dumps({"MetaDataMode": "Classified_Tiles"}))


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
@pytest.mark.parametrize("with_map", [True, False])
def test_an_export_as_arcgis_writes_it(write: Write, tmp_path: Path, suffix: str, with_map: bool) -> None:
    for stem in ("000000000", "000000001"):
        write(f"images/{stem}{suffix}", image(3, 2, 3))
        write(f"labels/{stem}.tif", labels([0, 1, 2], [2, 1, 0], dtype="uint16"))
    write_esri(tmp_path)
    if not with_map:
        (tmp_path / "map.txt").unlink()
    folder = open_chip_folder(tmp_path)
    assert [(one.id, one.name) for one in folder.classes] == [(1, "field"), (2, "wood")]
    assert folder.classes[0].color == (220, 200, 90)
    assert folder.facts["layouts"] == ["esri"]
    assert folder.facts["classes_from"] == "folder"
    assert len(folder.scenes) == 2
    pixels = read(folder, 1)
    assert pixels.labels.tolist() == [[IGNORE_INDEX, 0, 1], [1, 0, IGNORE_INDEX]]
    assert pixels.array.shape == (3, 2, 3)
    assert folder.scenes[0].group is None


def test_a_mapping_renames_classes_of_an_export(write: Write, tmp_path: Path) -> None:
    write("images/0.tif", image(3, 1, 3))
    write("labels/0.tif", labels([0, 1, 2]))
    write_esri(tmp_path)
    folder = open_chip_folder(tmp_path, class_mapping={2: "forest"})
    assert [one.name for one in folder.classes] == ["field", "forest"]
    folder = open_chip_folder(tmp_path, class_mapping={"wood": "green", "field": "green"}, background="other")
    assert [one.name for one in folder.classes] == ["green", "other"]
    assert read(folder).labels.tolist() == [[1, 0, 0]]


def test_bands_of_an_export_have_the_names_it_states(write: Write, tmp_path: Path) -> None:
    write("images/0.tif", image(4, 2, 2, dtype="uint16"), photometric="minisblack", alpha="no")
    write("labels/0.tif", labels([0, 1], [1, 1]))
    write_esri(tmp_path, InputRastersProps={"BandNames": ["Red", "Green", "Blue", "NearInfrared"]})
    assert [band.name for band in open_chip_folder(tmp_path).scenes[0].bands] == ["red", "green", "blue", "nir"]
    chosen = open_chip_folder(tmp_path, bands=["nir", 1])
    assert [band.number for band in chosen.scenes[0].bands] == [4, 1]
    assert read(chosen).array.dtype == np.uint16
    write_esri(tmp_path, ExtractBands=[3, 0])
    assert [band.number for band in open_chip_folder(tmp_path).scenes[0].bands] == [4, 1]
    write_esri(tmp_path, InputRastersProps={"BandNames": ["Band_1", "Band_2", "Band_3", "Band_4"]})
    assert [band.name for band in open_chip_folder(tmp_path).scenes[0].bands][1:] == ["2", "3", "4"]
    with pytest.raises(SceneError, match="has no band 'swir'"):
        _ = open_chip_folder(tmp_path, bands=["swir"]).scenes[0].bands


def test_an_export_of_two_rasters_has_the_second_between_image_and_label(write: Write, tmp_path: Path) -> None:
    for place in ("images", "images2"):
        write(f"{place}/0.tif", image(3, 1, 2))
    write("labels/0.tif", labels([1, 2]))
    write_esri(tmp_path)
    (tmp_path / "map.txt").write_text("images/0.tif\timages2/0.tif\tlabels/0.tif\n\n")
    folder = open_chip_folder(tmp_path)
    assert [Path(path).parent.name for path in folder.scenes[0].files] == ["images", "labels"]
    assert folder.facts["left_out"] == 1


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("esri_accumulated_stats.json", '{"MetaDataMode": "RCNN_Masks"}', "metadata format RCNN_Masks, which holds no"),
        ("esri_model_definition.emd", "{", "is no JSON"),
        ("esri_model_definition.emd", '{"a":' * 5000, "is no JSON that can be read"),
        ("esri_model_definition.emd", '{"Classes": [{"Value": 1e999, "Name": "a"}]}', "is not as Esri writes it"),
        ("esri_model_definition.emd", '{"Classes": [{"Value": "x", "Name": "a"}]}', "is not as Esri writes it"),
        ("esri_model_definition.emd", '{"Classes": 5}', "is not as Esri writes it"),
        ("map.txt", "images/0.tif\n", "line 1 of '.*map.txt' names no image and label"),
        ("map.txt", "images/0.tif labels/1.tif\n", r"files that map.txt names do not exist \(labels/1.tif\)"),
        ("map.txt", "\n", "names no chips"),
    ],
)
def test_damaged_text_files(write: Write, tmp_path: Path, name: str, text: str, match: str) -> None:
    write("images/0.tif", image(3, 1, 2))
    write("labels/0.tif", labels([1, 2]))
    write_esri(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(SceneError, match=match):
        open_chip_folder(tmp_path)


def test_files_that_the_map_names_may_be_skipped(write: Write, tmp_path: Path) -> None:
    for stem in "01":
        write(f"images/{stem}.tif", image(3, 1, 2))
        write(f"labels/{stem}.tif", labels([1, 2]))
    write_esri(tmp_path)
    (tmp_path / "labels" / "1.tif").unlink()
    folder = open_chip_folder(tmp_path, skip_unpaired=True)
    assert [scene.name for scene in folder.scenes] == ["0"]
    assert folder.facts["left_out"] == 1


def test_labels_of_colours_by_bands_palette_and_grey(write: Write, tmp_path: Path) -> None:
    red, blue, black = (200, 0, 0), (0, 0, 250), (0, 0, 0)
    colors = np.array([[red, blue, black]], dtype=np.uint8).transpose(2, 0, 1)
    for number, stem in enumerate(("a", "b", "c", "d")):
        write(f"images/{stem}.jpg", image(3, 1, 3, seed=number))
    write("masks/a.png", colors)
    write("masks/b.png", labels([7, 3, 0]), palette={7: red, 3: blue, 0: black})
    write("masks/c.png", labels([1, 2, 3]), palette={1: red, 2: blue, 3: black})
    write("masks/d.png", np.concatenate([colors, labels([255, 0, 255])[None]]))
    folder = open_chip_folder(tmp_path, class_mapping={red: "roof", "0,0,250": "lake", "#000000": None})
    for number in range(3):
        assert read(folder, number).labels.tolist() == [[0, 1, IGNORE_INDEX]]
    assert folder.classes[1].color == blue
    grey = write("grey/labels/a.png", labels([0, 255, 0])).parents[1]
    write("grey/images/a.png", image(3, 1, 3))
    assert read(open_chip_folder(grey, class_mapping={(0, 0, 0): "no", (255, 255, 255): "yes"})).labels.tolist() == [
        [0, 1, 0]
    ]


def test_a_palette_read_by_values_is_its_indices(write: Write, tmp_path: Path) -> None:
    write("images/a.png", image(3, 1, 3))
    write("masks/a.png", labels([7, 3, 0]), palette={7: (1, 1, 1), 3: (2, 2, 2), 0: (0, 0, 0)})
    folder = open_chip_folder(tmp_path, class_mapping={7: "roof", 3: "lake", 0: "other"})
    assert read(folder).labels.tolist() == [[0, 1, 2]]
    with pytest.raises(
        OptionError, match=r"nothing says what the colours of the labels stand for \(\(0,0,0\) in 1 px, \(1,1,1\) "
    ):
        open_chip_folder(tmp_path)


def test_values_without_a_class_are_listed_with_their_pixels_in_all_of_the_folder(write: Write, tmp_path: Path) -> None:
    for stem in "ab":
        write(f"images/{stem}.png", image(1, 1, 4))
        write(f"labels/{stem}.png", labels([1, 2, 9, 9] if stem == "b" else [1, 2, 9, 30]))
    folder = open_chip_folder(tmp_path, class_mapping=NAMES)
    with pytest.raises(
        SceneError, match=r"values without a class, first in '.*a.png': 9 in 3 px, 30 in 1 px; the classes are 'field'"
    ):
        read(folder)
    folder = open_chip_folder(tmp_path, class_mapping={**NAMES, 9: None}, ignore_unknown=True)
    assert read(folder).labels.tolist() == [[0, 1, 255, 255]]
    with pytest.raises(
        OptionError, match=r"what the values of the labels stand for \(9 in 3 px, 1 in 2 px, .*\): name"
    ):
        open_chip_folder(tmp_path)
    write("labels/a.png", np.arange(1500, dtype=np.uint16).reshape(1, 1500))
    with pytest.raises(OptionError, match="more than 1000 different values: such a file is an image"):
        open_chip_folder(tmp_path)


def test_nodata_of_a_label_is_ground_without_one_unless_it_has_a_class(write: Write, tmp_path: Path) -> None:
    write("images/a.tif", image(1, 1, 3))
    write("labels/a.tif", labels([1, 2, 0]), nodata=0)
    assert read(open_chip_folder(tmp_path, class_mapping=NAMES)).labels.tolist() == [[0, 1, IGNORE_INDEX]]
    assert read(open_chip_folder(tmp_path, class_mapping={**NAMES, 0: "no"})).labels.tolist() == [[0, 1, 2]]
    assert read(open_chip_folder(tmp_path, class_mapping=NAMES, background="no")).labels.tolist() == [[0, 1, 2]]
    assert read(open_chip_folder(tmp_path, classes=["field", "wood"])).labels.tolist() == [[0, 1, IGNORE_INDEX]]


def test_labels_of_whole_floats_count_and_others_are_refused(write: Write, tmp_path: Path) -> None:
    write("images/a.tif", image(1, 1, 3))
    write("labels/a.tif", labels([1, 2, np.nan], dtype="float32"))  # type: ignore[list-item]
    assert read(open_chip_folder(tmp_path, class_mapping=NAMES)).labels.tolist() == [[0, 1, IGNORE_INDEX]]
    write("labels/a.tif", labels([1, 2.5, 1], dtype="float32"))  # type: ignore[list-item]
    with pytest.raises(SceneError, match=r"labels are whole numbers .* holds 2\.5"):
        read(open_chip_folder(tmp_path, class_mapping=NAMES))


def test_nodata_and_nan_in_images_are_invalid(write: Write, tmp_path: Path) -> None:
    array = image(2, 2, 2, dtype="float32") + 1
    array[:, 0, 0] = -9999
    array[1, 1, 1] = np.nan
    write("images/a.tif", array, nodata=-9999)
    write("labels/a.tif", labels([1, 2], [1, 2]))
    assert read(open_chip_folder(tmp_path, class_mapping=NAMES)).valid.tolist() == [[False, True], [True, False]]


def test_chips_of_different_sizes_and_one_without_any_label(write: Write, tmp_path: Path) -> None:
    write("images/a.tif", image(1, 2, 3))
    write("labels/a.tif", labels([0, 0, 0], [0, 0, 0]))
    write("images/b.tif", image(1, 1, 1))
    write("labels/b.tif", labels([2]))
    write_esri(tmp_path)
    folder = open_chip_folder(tmp_path)
    assert [scene.grid.shape for scene in folder.scenes] == [(2, 3), (1, 1)]
    assert (read(folder).labels == IGNORE_INDEX).all()
    assert read(folder, 1).labels.tolist() == [[1]]


def test_a_label_of_other_pixels_is_refused(write: Write, tmp_path: Path) -> None:
    place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 500_000, 0, -1, 5_000_000)}
    write("images/a.tif", image(1, 2, 2), **place)
    write("labels/a.tif", labels([1, 2]))
    with pytest.raises(SceneError, match=r"has 2 x 2 pixels and its label '.*' 1 x 2"):
        read(open_chip_folder(tmp_path, class_mapping=NAMES))
    moved = place | {"transform": Affine(1, 0, 500_002, 0, -1, 5_000_000)}
    write("labels/a.tif", labels([1, 2], [1, 2]), **moved)
    with pytest.raises(SceneError, match=r"lies elsewhere than its image '.*' \(by 2.0 pixels\)"):
        read(open_chip_folder(tmp_path, class_mapping=NAMES))
    write("labels/a.tif", labels([1, 2], [1, 2]))
    assert open_chip_folder(tmp_path, class_mapping=NAMES).scenes[0].grid.transform == place["transform"]


def test_damaged_files_are_named(write: Write, tmp_path: Path) -> None:
    for stem in "ab":
        write(f"images/{stem}.png", image(3, 50, 50))
        write(f"labels/{stem}.png", np.ones((50, 50), dtype=np.uint8))
    cut = tmp_path / "images" / "a.png"
    cut.write_bytes(cut.read_bytes()[:2000])
    folder = open_chip_folder(tmp_path, class_mapping=NAMES)
    with pytest.raises(
        SceneError, match=r"images/a.png' cannot be read in the block of .*, damaged|images/a.png' cannot"
    ):
        read(folder)
    assert read(folder, 1).labels.max() == 0
    (tmp_path / "labels" / "b.png").write_bytes(b"no picture")
    with pytest.raises(SceneError, match=r"labels/b.png' is no raster that GDAL can open"):
        read(open_chip_folder(tmp_path, class_mapping=NAMES), 1)


def test_folders_of_folders_are_groups(write: Write, tmp_path: Path) -> None:
    for place in ("north", "south"):
        write(f"{place}/images/a.png", image(1, 1, 2))
        write(f"{place}/masks/a.png", labels([1, 2]))
    (tmp_path / "notes").mkdir()
    folder = open_chip_folder(tmp_path, class_mapping=NAMES)
    assert [(scene.group, scene.name) for scene in folder.scenes] == [("north", "a"), ("south", "a")]
    assert [one.group for one in open_chip_folder(tmp_path, class_mapping=NAMES, group_by_folder=False).scenes] == [
        None
    ] * 2
    both = open_chip_folder([tmp_path / "south", tmp_path / "north"], class_mapping=NAMES)
    assert [scene.group for scene in both.scenes] == ["south", "north"]
    write("deep/images/x/a.png", image(1, 1, 2))
    write("deep/labels/x/a.png", labels([1, 2]))
    write("deep/images/y/a.png", image(1, 1, 2))
    write("deep/labels/y/a.png", labels([1, 2]))
    assert [s.group for s in open_chip_folder(tmp_path / "deep", class_mapping=NAMES).scenes] == ["deep/x", "deep/y"]


def test_folders_that_name_a_value_differently_are_refused(write: Write, tmp_path: Path) -> None:
    for place, name in (("a", "field"), ("b", "roof")):
        write(f"{place}/images/0.tif", image(1, 1, 2))
        write(f"{place}/labels/0.tif", labels([1, 1]))
        write_esri(tmp_path / place, classes=[{"ClassValue": 1, "ClassName": name}])
    with pytest.raises(SceneError, match="two chip folders call label value 1 'field' and 'roof'"):
        open_chip_folder(tmp_path)


@pytest.mark.parametrize(
    ("names", "kwargs", "error", "match"),
    [
        (
            ["images/a.png", "labels/a.jpg"],
            {"class_mapping": NAMES},
            SceneError,
            "with loss .JPEG., which changes",
        ),
        (["images/a.png", "labels/a.png"], {"class_mapping": {(1, 2, 3): "a", 2: "b"}}, OptionError, "use one kind"),
    ],
)
def test_what_is_refused(
    write: Write,
    tmp_path: Path,
    names: list[str],
    kwargs: dict[str, Any],
    error: type[Exception],
    match: str,
) -> None:
    for name in names:
        write(name, image(1, 2, 2))
    with pytest.raises(error, match=match):
        open_chip_folder(tmp_path, **kwargs)


def test_paths_that_are_no_folders(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="nothing' does not exist: give the folder"):
        open_chip_folder(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(SceneError, match="file' is a file: give the folder"):
        open_chip_folder(tmp_path / "file")
    with pytest.raises(SceneError, match="no chip folder is given"):
        open_chip_folder([])


def test_colours_need_bytes_and_values_one_band(write: Write, tmp_path: Path) -> None:
    write("images/a.tif", image(1, 1, 2))
    write("labels/a.tif", labels([1, 300], dtype="uint16"))
    with pytest.raises(SceneError, match=r"has no colours \(bands of uint16\)"):
        read(open_chip_folder(tmp_path, class_mapping={(1, 1, 1): "a"}))
    write("labels/a.tif", image(3, 1, 2))
    with pytest.raises(SceneError, match="has 3 bands, so its colours count: give `class_mapping=` with colours"):
        read(open_chip_folder(tmp_path, class_mapping=NAMES))


def test_images_with_a_palette_are_refused(write: Write, tmp_path: Path) -> None:
    write("images/a.png", labels([1, 2]), palette={1: (1, 1, 1), 2: (9, 9, 9)})
    write("labels/a.png", labels([1, 2]))
    with pytest.raises(SceneError, match="has a palette, band 1 holds colour indices; expand it"):
        _ = open_chip_folder(tmp_path, class_mapping=NAMES).scenes[0].grid


def test_many_chips_open_fast_and_read_no_pixel(tmp_path: Path) -> None:
    for place in ("images", "labels"):
        (tmp_path / place).mkdir()
        for number in range(3000):
            (tmp_path / place / f"{number:09d}.tif").touch()  # no raster: whoever opens one fails
    started = time.perf_counter()
    folder = open_chip_folder(tmp_path, class_mapping=NAMES)
    assert time.perf_counter() - started < 5
    assert len(pickle.loads(pickle.dumps(folder.scenes))) == 3000


def test_real_pairs_with_palettes_and_colours(shared_data: Path) -> None:
    mapping = {(60, 16, 152): "building", (132, 41, 246): "land", (110, 193, 228): "road", (254, 221, 58): "vegetation",
               (226, 169, 41): "water", (155, 155, 155): None, (0, 0, 0): None}  # fmt: skip
    folder = open_chip_folder(shared_data / "dubai", class_mapping=mapping)
    assert len(folder.scenes) == 54
    assert {scene.group for scene in folder.scenes} == {f"Tile {i}" for i in (2, 4, 5, 6, 7, 8)}
    counts = {group: np.zeros(256, dtype=np.int64) for group in ("Tile 4", "Tile 5")}  # palette, colours
    for scene in folder.scenes:
        if scene.group in counts and scene.name.endswith(("1", "5")):
            height, width = scene.grid.shape
            counts[scene.group] += np.bincount(
                scene.read(Window(0, 0, width, height)).labels.reshape(-1), minlength=256
            )
    for count in counts.values():
        assert count[:5].sum() > 0.9 * count.sum()
        assert count[1] > count[2]
        assert count[5:IGNORE_INDEX].sum() == 0


def test_real_pairs_beside_each_other(shared_data: Path) -> None:
    place = shared_data / "scenes" / "nrcan-geo-deep-learning"
    folder = open_chip_folder(place, class_mapping={1: "building"}, skip_unpaired=True, background="other")
    assert [scene.name for scene in folder.scenes] == ["tiled_1", "tiled_2"]
    assert {scene.grid.crs.to_epsg() for scene in folder.scenes if scene.grid.crs} == {2949}
    assert sum(int((read(folder, i).labels == 0).sum()) for i in range(2)) == 6458


def test_near_infrared_flagged_alpha_is_data_in_all_chips(tmp_path: Path, make_raster: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    for place in ("images", "labels"):
        (tmp_path / place).mkdir()
    for number, fourth in enumerate((np.zeros((32, 32)), rng.integers(1, 200, (32, 32)))):
        image = np.concatenate([rng.integers(1, 200, (3, 32, 32)), fourth[None]]).astype(np.uint8)
        make_raster(image, f"images/{number}.tif", colorinterp=("red", "green", "blue", "alpha"))
        make_raster(np.ones((1, 32, 32), np.uint8), f"labels/{number}.tif")
    folder = open_chip_folder(tmp_path, class_mapping={1: "a", 2: "b"})
    with pytest.warns(GeoDeepLabWarning, match="flagged alpha"):
        bands = [[band.name for band in scene.bands] for scene in folder.scenes]
    assert bands == [["red", "green", "blue", "4"]] * 2
    assert read(folder, 0).valid.all()
