"""Folders of chips: Esri's "Classified Tiles", and plain pairs of images and labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.models import ModelClass
from geodeeplab.raster import Scene, local_files_only, read_classes
from geodeeplab.raster.sources.local_only import check_raster, is_local_only
from geodeeplab.raster.sources.lossy import lossy_compression
from geodeeplab.raster.sources.remote import open_file, spread
from geodeeplab.training.folders.chip_files import INDEX_NAME, read_index
from geodeeplab.training.folders.chip_pairs import MOST_NAMED, ChipPair, find_folders, find_pairs
from geodeeplab.training.folders.chip_scene import ChipReading, ChipScene, quick_opening
from geodeeplab.training.folders.esri import (
    DEFINITION_NAME,
    IMAGES,
    LABELS,
    MAP_NAME,
    STATISTICS_NAME,
    read_esri,
    read_map,
)
from geodeeplab.training.folders.label_code import ListedClass, make_label_code
from geodeeplab.training.folders.label_pixels import count_codes, describe_counts, has_colors
from geodeeplab.training.scenes.class_table import ClassesLike, ClassMapping

LOSSY_SUFFIXES = (".jpg", ".jpeg")
LABELS_LOOKED_AT = 30
"""Labels, spread over a folder, that are opened to see how they are compressed."""


@dataclass(frozen=True, kw_only=True)
class ChipFolder:
    """The chips of a folder, or of several."""

    scenes: list[ChipScene]
    """A labelled scene for each chip, in the order of `map.txt` or of the names."""
    classes: tuple[ModelClass, ...]
    """Classes in the order of the label indices."""
    facts: dict[str, Any]
    """What was found, as JSON can hold it: folders, layouts, where the classes come from, files left out."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What one folder holds."""

    pairs: list[ChipPair]
    left_out: list[str]
    classes: tuple[ListedClass, ...]
    band_names: tuple[str, ...]
    extract_bands: tuple[int, ...]
    layout: str


def open_chip_folder(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    class_mapping: ClassMapping | None = None,
    classes: ClassesLike | None = None,
    background: str | None = None,
    bands: Sequence[str | int] | None = None,
    image_folder: str | None = None,
    label_folder: str | None = None,
    ignore_unknown: bool = False,
    skip_unpaired: bool = False,
    group_by_folder: bool = True,
    local_only: bool = False,
) -> ChipFolder:
    """Open folders of chips. Nothing but folders and text files is read, unless the classes are in the label files.

    Args:
        path: a folder of chips; a folder of such folders; or several of either. See `chip_pairs` for how images and
            labels are told apart and paired where there is no `map.txt`.
        class_mapping: the class's name for a label value, for a colour (red, green, blue), or for the name of a class
            that the folder states; None: to be ignored. With colours, labels are read as colours, palettes expanded;
            else as values, which in a palette are its indices.
        classes: which classes there are, in this order; default those that the folder or the mapping names.
        background: name of the class of ground without a label: of value 0 in Esri's layout, and of what a label file
            says is nodata. Default: such ground is ignored.
        bands: names or 1-based numbers; default all that are not alpha (or those that Esri's definition extracts).
        image_folder: name of the subfolder of the images.
        label_folder: name of the subfolder of the labels.
        ignore_unknown: ignore label values and colours that no class has; by default the first read of one is an error
            that lists them.
        skip_unpaired: leave out images without a label, and labels without an image.
        group_by_folder: chips of one folder are of one group, where there are several folders.
        local_only: see `open_scene`.

    Raises:
        SceneError: a folder does not exist, holds no chips, or has files without a partner.
        OptionError: the classes are not stated, or the mapping does not fit them.
    """
    folders = [chips for one in _paths_of(path) for chips in _chip_folders(one, image_folder, label_folder)]
    found = [_find(folder, image_folder, label_folder, skip_unpaired=skip_unpaired) for folder in folders]
    labels = tuple(pair.label for one in found for pair in one.pairs)
    with local_files_only(local_only):
        _check_files(found)
        _refuse_lossy(labels)
        listed, source = _listed_classes(found, labels, is_stated=class_mapping is not None or classes is not None)
    names, code = make_label_code(
        listed,
        class_mapping=class_mapping,
        classes=classes,
        background=background,
        ignore_unknown=ignore_unknown,
        zero_is_unlabelled=any(one.layout == "esri" for one in found),
    )
    scenes: list[ChipScene] = []
    for one, group in zip(found, _group_names(folders), strict=True):
        extract = [index + 1 for index in one.extract_bands] or None
        wanted = bands if bands is not None else extract
        reading = ChipReading(
            code=code,
            classes=names,
            wanted=None if wanted is None else tuple(wanted),
            band_names=one.band_names,
            images=tuple(spread(pair.image for pair in one.pairs)),
            labels=labels,
        )
        scenes += [ChipScene(pair, reading, group=_group(group, pair)) for pair in one.pairs]
    if not group_by_folder or len({scene.group for scene in scenes}) == 1:
        for scene in scenes:
            scene.group = None
    left_out = [path for one in found for path in one.left_out]
    facts = {
        "folders": [str(folder) for folder in folders],
        "layouts": [one.layout for one in found],
        "chips": len(scenes),
        "classes_from": source,
        "label_values": code.values_of(names),
        "left_out": len(left_out),
        "left_out_files": left_out[:MOST_NAMED],
    }
    return ChipFolder(scenes=scenes, classes=names, facts=facts)


def _paths_of(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(one) for one in path]
    for one in paths:
        if not one.is_dir():
            raise SceneError(
                f"chip folder '{one}' {'is a file' if one.exists() else 'does not exist'}: give the folder that holds "
                "the images and labels"
            )
    if not paths:
        raise SceneError("no chip folder is given: give at least one")
    return paths


def _chip_folders(folder: Path, image_folder: str | None, label_folder: str | None) -> list[Path]:
    """Give a folder itself if it holds chips, else the folders in it that do, else itself: pairs beside each other."""
    if _holds_chips(folder, image_folder, label_folder):
        return [folder]
    inner = sorted(Path(entry.path) for entry in os.scandir(folder) if os.path.isdir(entry))
    return [one for one in inner if _holds_chips(one, image_folder, label_folder)] or [folder]


def _holds_chips(folder: Path, image_folder: str | None, label_folder: str | None) -> bool:
    if any((folder / name).exists() for name in (MAP_NAME, DEFINITION_NAME, STATISTICS_NAME, INDEX_NAME)):
        return True
    if image_folder is not None or label_folder is not None:
        return all((folder / name).is_dir() for name in (image_folder, label_folder) if name is not None)
    return find_folders(folder, None, None) is not None


def _find(folder: Path, image_folder: str | None, label_folder: str | None, *, skip_unpaired: bool) -> _Found:
    """Find the pairs of one folder and what it says of classes and bands."""
    esri, index = read_esri(folder), read_index(folder)
    if (folder / MAP_NAME).exists() and image_folder is None and label_folder is None:
        pairs, left_out = read_map(folder, skip_unpaired=skip_unpaired)
    else:
        if esri is not None:
            image_folder, label_folder = image_folder or IMAGES, label_folder or LABELS
        pairs, left_out = find_pairs(
            folder, image_folder=image_folder, label_folder=label_folder, skip_unpaired=skip_unpaired
        )
    stated = esri or index
    return _Found(
        pairs=pairs,
        left_out=left_out,
        classes=stated.classes if stated else (),
        band_names=stated.band_names if stated else (),
        extract_bands=esri.extract_bands if esri else (),
        layout="esri" if esri is not None or (folder / MAP_NAME).exists() else "pairs",
    )


def _check_files(found: Sequence[_Found]) -> None:
    """Check all chips before any is opened, as other processes open them; see `local_files_only`."""
    if is_local_only():
        for pair in (pair for one in found for pair in one.pairs):
            check_raster(pair.image)
            check_raster(pair.label)


def _refuse_lossy(labels: Sequence[str]) -> None:
    """Refuse labels whose compression changed them; of files that may have such a one, some are looked at.

    Raises:
        SceneError: one has.
    """
    jpegs = [path for path in labels if path.lower().endswith(LOSSY_SUFFIXES)]
    some = labels[:: max(1, len(labels) // LABELS_LOOKED_AT)]
    for path in jpegs[:1] or [path for path in some if not path.lower().endswith(".png")]:
        loss = "JPEG" if jpegs else lossy_compression([path])
        if loss is not None:
            raise SceneError(
                f"label '{path}' is compressed with loss ({loss}), which changes the values of classes along their "
                "borders: make the labels again as PNG or TIFF without loss"
            )


def _listed_classes(
    found: Sequence[_Found], labels: Sequence[str], *, is_stated: bool
) -> tuple[list[ListedClass], str]:
    """Give the classes that the folders state, by value, and where they are from.

    Raises:
        SceneError: two folders name a value differently.
        OptionError: nobody states any.
    """
    listed: dict[int, ListedClass] = {}
    for one in found:
        for item in one.classes:
            other = listed.setdefault(item.value, item)
            if other.name != item.name:
                raise SceneError(
                    f"two chip folders call label value {item.value} '{other.name}' and '{item.name}': open them one "
                    "by one, or export them with the same classes"
                )
    if listed:
        return [listed[value] for value in sorted(listed)], "folder"
    if is_stated:
        return [], "arguments"
    with quick_opening():
        own = _classes_of_file(labels[0])
        if own:
            return own, "label files"
        is_color = has_colors(labels[0])
        counts = count_codes(labels, is_color=is_color)
    raise OptionError(
        f"nothing says what the {'colours' if is_color else 'values'} of the labels stand for "
        f"({describe_counts(counts, is_color=is_color)}): name them with `class_mapping=`, such as "
        + ("{(60, 16, 152): 'building'}" if is_color else "{1: 'building'}")
    )


def _classes_of_file(path: str) -> list[ListedClass]:
    """Read the classes that a label raster itself names; a palette without names has none."""
    source = open_file(path)
    try:
        classes = read_classes(Scene(source, allow_palette=True))
    finally:
        source.close()
    if all(item.name == str(item.id) for item in classes):
        return []
    return [ListedClass(value=item.id, name=item.name, color=item.color) for item in classes]


def _group_names(folders: Sequence[Path]) -> list[str]:
    """Name each folder: by its last name where those differ, else by its path."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _group(folder: str, pair: ChipPair) -> str:
    """Name the folder of a chip, that within the folder of images included."""
    return "/".join([folder, *pair.name.split("/")[:-1]])
