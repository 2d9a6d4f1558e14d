"""Esri's "Classified Tiles" layout of chips, as its tool Export Training Data For Deep Learning writes it.

`images/` and `labels/` hold the chips under equal names; `map.txt` has a line with both paths for each, in Windows'
or in POSIX's way, a second image (`images2/`) between them where two rasters were exported. The two JSON files name the
classes and the bands. Label value 0 is ground that no polygon covers.

Sources: https://pro.arcgis.com/en/pro-app/latest/help/analysis/image-analyst/deep-learning-training-data-contents.htm,
and exports that their owners have published.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.errors import SceneError
from geodeeplab.models.files.esri_model import iter_classes
from geodeeplab.text import decode_text, read_json
from geodeeplab.training.folders.chip_pairs import ChipPair, check_partners, list_rasters
from geodeeplab.training.folders.label_code import ListedClass

DEFINITION_NAME = "esri_model_definition.emd"
STATISTICS_NAME = "esri_accumulated_stats.json"
MAP_NAME = "map.txt"
TEXT_NAME = "stats.txt"
IMAGES, LABELS = "images", "labels"
MODE = "Classified_Tiles"


@dataclass(frozen=True, kw_only=True)
class EsriExport:
    """What the JSON files of an export say."""

    classes: tuple[ListedClass, ...]
    """The classes by value; none where they say nothing."""
    band_names: tuple[str, ...]
    """Name of each band of the images; none where any has no name."""
    extract_bands: tuple[int, ...]
    """Bands to train on, counted from 0; none where nothing is said (the tool writes an example)."""


def read_esri(folder: Path) -> EsriExport | None:
    """Read the JSON files of an export; None where there are none.

    Raises:
        SceneError: a file cannot be read, or is of another metadata format.
    """
    definition, statistics = (_read_json(folder / name) for name in (DEFINITION_NAME, STATISTICS_NAME))
    if definition is None and statistics is None:
        return None
    both = {**(statistics or {}), **(definition or {})}
    mode = both.get("MetaDataMode", MODE)
    if mode != MODE:
        raise SceneError(
            f"chip folder '{folder}' has the metadata format {mode}, which holds no label of each pixel: export it "
            "again as Classified Tiles"
        )
    try:
        classes = _classes_of(definition or {}) or _classes_of(statistics or {})
        names = tuple(str(name).strip() for name in both.get("InputRastersProps", {}).get("BandNames", []))
        extract = both.get("ExtractBands")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise SceneError(
            f"{DEFINITION_NAME} or {STATISTICS_NAME} in '{folder}' is not as Esri writes it ({error!r}): export the "
            "chips again, or remove both and pass `class_mapping=`"
        ) from error
    return EsriExport(
        classes=tuple(sorted(classes, key=lambda item: item.value)),
        band_names=names if all(name and not re.fullmatch(r"Band_\d+", name) for name in names) else (),
        extract_bands=tuple(extract) if isinstance(extract, list) and all(type(i) is int for i in extract) else (),
    )


def read_map(folder: Path, *, skip_unpaired: bool = False) -> tuple[list[ChipPair], list[str]]:
    """Read the pairs of `map.txt`, in its order, and the files that are left out.

    Raises:
        SceneError: it cannot be read, or a file that it names does not exist.
    """
    there = {path.removeprefix(str(folder)).lstrip("/\\").replace("\\", "/") for path in list_rasters(folder)}
    pairs: list[ChipPair] = []
    missing: list[str] = []
    for number, line in enumerate(_read_text(folder / MAP_NAME).splitlines(), start=1):
        paths = _paths_of(line)
        if not paths:
            continue
        if len(paths) < 2:
            raise SceneError(
                f"line {number} of '{folder / MAP_NAME}' names no image and label ('{line.strip()}'): correct it, or "
                "remove the file to pair by name"
            )
        image, label = paths[0], paths[-1]
        lacking = [path for path in (image, label) if path not in there]
        missing += lacking
        if not lacking:
            name = re.sub(r"^[^/]*/|\.[^./]*$", "", image)
            pairs.append(ChipPair(name=name, image=str(folder / image), label=str(folder / label)))
    check_partners(folder, missing, what=f"files that {MAP_NAME} names do not exist", skip_unpaired=skip_unpaired)
    if not pairs:
        raise SceneError(f"'{folder / MAP_NAME}' names no chips: export them again, or remove it to pair by name")
    used = {path for pair in pairs for path in (pair.image, pair.label)}
    return pairs, [str(folder / path) for path in sorted(there) if str(folder / path) not in used]


def _paths_of(line: str) -> list[str]:
    """Split a line at tabs or several blanks, else at single ones."""
    parts = [part.strip() for part in re.split(r"\t|\s{2,}", line.strip()) if part.strip()]
    if len(parts) == 1:
        parts = parts[0].split()
    return [part.replace("\\", "/").removeprefix("./") for part in parts]


def _classes_of(content: Mapping[str, Any]) -> list[ListedClass]:
    """Read the classes of either JSON file."""
    return [ListedClass(value=value, name=name, color=color) for value, name, color in iter_classes(content)]


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    content = read_json(path, object, error=SceneError, step="export the chips again, or remove it")
    return content if isinstance(content, dict) else {}


def _read_text(path: Path) -> str:
    try:
        return decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"'{path}' cannot be read ({error}): copy it again") from error
