"""Which label file belongs to which image file of a folder of chips.

The rule, for folders without a `map.txt`:

1. Image and label folder: those named, else the one subfolder whose name is a word for images (`images`, `image`,
   `imgs`, `img`) and the one whose name is a word for labels (`labels`, `label`, `masks`, `mask`, `annotations`,
   `gt`), in any case. A label has the path of its image, subfolders included, but for the suffix; where no label has,
   words for images and labels in their names do not count (`a_image.jpg` and `a_mask.png`).
2. Without such subfolders, images and labels lie beside each other: a file whose name has a word for labels is a
   label, the others are images, and partners have the same name but for those words (`a.jpg` and `a_mask.png`,
   `tiled_image_1.tif` and `tiled_label_1.tif`).
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geodeeplab.errors import SceneError

RASTER_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".mrf")
"""What counts as an image or a label."""
IMAGE_WORDS = ("image", "images", "img", "imgs")
LABEL_WORDS = ("label", "labels", "mask", "masks", "annotation", "annotations", "gt")
MOST_NAMED = 5
"""As many files as a message names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChipPair:
    """An image and its label."""

    name: str
    """Path of the image within its folder, without the suffix."""
    image: str
    """Path of the image file."""
    label: str
    """Path of the label file."""


def find_pairs(
    folder: Path, *, image_folder: str | None = None, label_folder: str | None = None, skip_unpaired: bool = False
) -> tuple[list[ChipPair], list[str]]:
    """Pair the images and labels of a folder by their names.

    Args:
        folder: the chip folder.
        image_folder: name of the subfolder of the images; default by the rule.
        label_folder: name of the subfolder of the labels; default by the rule.
        skip_unpaired: leave out files without a partner.

    Returns:
        The pairs in the order of their names, and the files that were left out.

    Raises:
        SceneError: there are no chips, a name is borne by two files, or an image or label has no partner.
    """
    where = find_folders(folder, image_folder, label_folder)
    if where is None:
        images, labels = _split_by_words(folder)
        return _match(folder, _keyed(folder, images, _plain), _keyed(folder, labels, _plain), skip=skip_unpaired)
    files = [(root, list_rasters(root)) for root in where]
    image_by_name, label_by_name = (_keyed(root, paths, _stem) for root, paths in files)
    if not image_by_name.keys() & label_by_name.keys():
        image_by_name, label_by_name = (_keyed(root, paths, _plain) for root, paths in files)
    return _match(folder, image_by_name, label_by_name, skip=skip_unpaired)


def find_folders(folder: Path, image_folder: str | None, label_folder: str | None) -> tuple[Path, Path] | None:
    """Find the subfolders of the images and of the labels; None where there are none.

    Raises:
        SceneError: a folder is missing, or several could be meant.
    """
    found = [
        _subfolder(folder, given, words, option)
        for given, words, option in (
            (image_folder, IMAGE_WORDS, "image_folder"),
            (label_folder, LABEL_WORDS, "label_folder"),
        )
    ]
    images, labels = found
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        missing, there = ("images", labels) if images is None else ("labels", images)
        raise SceneError(
            f"chip folder '{folder}' has '{there.name if there else ''}' but no folder of {missing}: name it with "
            f"{'image_folder' if images is None else 'label_folder'}"
        )
    return images, labels


def check_partners(folder: Path, lonely: Sequence[str], *, what: str, skip_unpaired: bool) -> None:
    """Refuse files without a partner, unless they are to be skipped.

    Raises:
        SceneError: there are some.
    """
    if lonely and not skip_unpaired:
        named = some_of(path.removeprefix(str(folder)).lstrip("/\\") for path in lonely)
        raise SceneError(
            f"chip folder '{folder}': {len(lonely)} {what} ({named}): add the partners, remove the files, or "
            "pass `skip_unpaired=True` to leave them out"
        )


def some_of(names: Iterable[str]) -> str:
    """List the first few of some names."""
    names = list(names)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _subfolder(folder: Path, given: str | None, words: Sequence[str], option: str) -> Path | None:
    if given is not None:
        path = folder / given
        if not path.is_dir():
            raise SceneError(f"{option} '{path}' does not exist: give the name of a subfolder of '{folder}'")
        return path
    inside = [entry.name for entry in os.scandir(folder) if entry.name.lower() in words]
    candidates = sorted(name for name in inside if os.path.isdir(folder / name))
    if len(candidates) > 1:
        raise SceneError(
            f"chip folder '{folder}' has several folders that could be meant ({', '.join(candidates)}): choose one "
            f"with {option}"
        )
    return folder / candidates[0] if candidates else None


def list_rasters(folder: Path, *, is_deep: bool = True) -> list[str]:
    """List the raster files of a folder, and by default of the folders within; hidden ones are left out."""
    found: list[str] = []
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if is_deep and not name.startswith(".")]
        found += [
            os.path.join(place, name)
            for name in names
            if name.lower().endswith(RASTER_SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found)


def _split_by_words(folder: Path) -> tuple[list[str], list[str]]:
    """Tell images and labels that lie beside each other apart."""
    images: list[str] = []
    labels: list[str] = []
    for path in list_rasters(folder, is_deep=False):
        is_label = any(word in LABEL_WORDS for word in _words(Path(path).stem))
        (labels if is_label else images).append(path)
    if images and not labels:
        raise SceneError(
            f"chip folder '{folder}' has images but no labels: labels lie in a folder of their own (labels, masks) or "
            "have 'label' or 'mask' in their names; name the folders with `image_folder=` and `label_folder=`"
        )
    return images, labels


def _words(stem: str) -> list[str]:
    """Split a name at everything that is neither letter nor digit."""
    return [word for word in re.split(r"[\W_]+", stem.lower()) if word]


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]


def _plain(path: str) -> str:
    """Give a path without its suffix and without the words for images and labels in its name."""
    head, tail = os.path.split(_stem(path))
    kept = [word for word in _words(tail) if word not in IMAGE_WORDS + LABEL_WORDS]
    return os.path.join(head, "_".join(kept))


def _keyed(root: Path, paths: Iterable[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """Index files by the name that they share with their partner, relative to a folder."""
    keyed: dict[str, str] = {}
    for path in paths:
        name = name_of(os.path.relpath(path, root))
        if name in keyed:
            raise SceneError(
                f"'{keyed[name]}' and '{path}' have one name but for suffix and words like image and mask: keep one "
                "of them in this folder"
            )
        keyed[name] = path
    return keyed


def _match(
    folder: Path, images: Mapping[str, str], labels: Mapping[str, str], *, skip: bool
) -> tuple[list[ChipPair], list[str]]:
    """Join images and labels of the same name."""
    names = sorted(images.keys() & labels.keys())
    alone = [path for name, path in sorted(images.items()) if name not in labels]
    check_partners(folder, alone, what="images without a label", skip_unpaired=skip)
    useless = [path for name, path in sorted(labels.items()) if name not in images]
    check_partners(folder, useless, what="labels without an image", skip_unpaired=skip)
    if not names:
        raise SceneError(
            f"chip folder '{folder}' has no image with a label ({len(images)} images, {len(labels)} labels): chips are "
            f"files with {', '.join(RASTER_SUFFIXES)} in a folder of images and one of labels, with the same names"
        )
    pairs = [ChipPair(name=name.replace(os.sep, "/"), image=images[name], label=labels[name]) for name in names]
    return pairs, alone + useless
