from pathlib import Path

import pytest

from geodeeplab.errors import SceneError
from geodeeplab.training.folders.chip_pairs import find_pairs


def make_files(folder: Path, *names: str) -> Path:
    """Empty files; pairing reads no pixels."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def paired(folder: Path, **options: str | bool) -> list[tuple[str, str, str]]:
    pairs, _ = find_pairs(folder, **options)  # type: ignore[arg-type]
    return [(p.name, str(Path(p.image).relative_to(folder)), str(Path(p.label).relative_to(folder))) for p in pairs]


def test_folders_of_images_and_labels_pair_by_path(tmp_path: Path) -> None:
    folder = make_files(
        tmp_path, "Images/b.jpg", "Images/a.tif", "Images/x/a.TIF", "masks/a.png", "masks/b.png", "masks/x/a.png",
        "Images/a.tif.aux.xml", "Images/b.jgw", "Images/.hidden.tif", "notes/c.tif",
    )  # fmt: skip
    assert paired(folder) == [
        ("a", "Images/a.tif", "masks/a.png"),
        ("b", "Images/b.jpg", "masks/b.png"),
        ("x/a", "Images/x/a.TIF", "masks/x/a.png"),
    ]


def test_words_for_images_and_labels_do_not_count_where_no_name_is_the_same(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "images/image_1.png", "labels/1_mask.png", "images/image_2.png", "labels/2_mask.png")
    assert paired(folder) == [("1", "images/image_1.png", "labels/1_mask.png"),
                              ("2", "images/image_2.png", "labels/2_mask.png")]  # fmt: skip


def test_pairs_beside_each_other(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "x.jpg", "x_mask.png", "tiled_image_1.tif", "tiled_label_1.tif")
    assert paired(folder) == [
        ("tiled_1", "tiled_image_1.tif", "tiled_label_1.tif"),
        ("x", "x.jpg", "x_mask.png"),
    ]


def test_a_name_that_only_begins_with_such_a_word_is_an_image(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "maskat.jpg", "maskat_labels.png")
    assert paired(folder) == [("maskat", "maskat.jpg", "maskat_labels.png")]


def test_folders_can_be_named(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "images/a.tif", "images2/a.tif", "labels/a.tif", "masks/a.tif", "rgb/a.tif")
    with pytest.raises(SceneError, match=r"several folders that could be meant \(labels, masks\): choose one with lab"):
        find_pairs(folder)
    assert paired(folder, image_folder="images2", label_folder="masks") == [("a", "images2/a.tif", "masks/a.tif")]
    with pytest.raises(SceneError, match=r"image_folder '.*/nir' does not exist"):
        find_pairs(folder, image_folder="nir", label_folder="masks")


def test_files_without_a_partner(tmp_path: Path) -> None:
    folder = make_files(tmp_path, *(f"images/{i}.tif" for i in range(9)), "labels/0.tif", "labels/9.tif")
    with pytest.raises(SceneError, match=r"8 images without a label \(images/1.tif, .*, images/5.tif and 3 more\)"):
        find_pairs(folder)
    pairs, left_out = find_pairs(folder, skip_unpaired=True)
    assert [pair.name for pair in pairs] == ["0"]
    assert [Path(path).name for path in left_out] == [*(f"{i}.tif" for i in range(1, 9)), "9.tif"]
    (folder / "images" / "9.tif").touch()
    for i in range(1, 9):
        (folder / "images" / f"{i}.tif").unlink()
    (folder / "labels" / "10.tif").touch()
    with pytest.raises(SceneError, match=r"1 labels without an image \(labels/10.tif\)"):
        find_pairs(folder)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["images/a.tif", "images/a.png", "labels/a.png"], "have one name but for suffix"),
        (["a.tif", "a_image.tif", "a_mask.tif"], "have one name but for suffix"),
        (["images/a.tif"], "has 'images' but no folder of labels: name it with label_folder"),
        (["labels/a.tif"], "has 'labels' but no folder of images: name it with image_folder"),
        (["a.tif", "b.tif"], "has images but no labels: labels lie in a folder of their own"),
        (["readme.txt"], r"no image with a label \(0 images, 0 labels\)"),
        (["images/readme.txt", "labels/readme.txt"], r"no image with a label \(0 images, 0 labels\)"),
    ],
)
def test_what_is_refused(tmp_path: Path, names: list[str], match: str) -> None:
    with pytest.raises(SceneError, match=match):
        find_pairs(make_files(tmp_path, *names))


def test_a_link_that_leads_to_itself_is_passed_over(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "images/a.tif", "labels/a.tif")
    (folder / "chips.json").symlink_to("chips.json")
    assert paired(folder) == [("a", "images/a.tif", "labels/a.tif")]
