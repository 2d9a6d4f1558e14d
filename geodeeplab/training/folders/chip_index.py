"""The file in which plain pairs of chips written here state their classes and bands."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geodeeplab.errors import SceneError
from geodeeplab.models import ModelClass
from geodeeplab.training.folders.label_code import ListedClass

INDEX_NAME = "chips.json"


@dataclass(frozen=True, kw_only=True)
class ChipIndex:
    """What it says."""

    classes: tuple[ListedClass, ...]
    """The classes by label value."""
    band_names: tuple[str, ...]
    """Name of each band of the images."""


def read_index(folder: Path) -> ChipIndex | None:
    """Read it; None where there is none, or a file of that name is somebody else's.

    Raises:
        SceneError: it is damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("layout") != "pairs":
            return None
        classes = tuple(
            ListedClass(value=int(item["id"]), name=str(item["name"]), color=tuple(item["color"]))
            for item in content["classes"]
        )
        return ChipIndex(classes=classes, band_names=tuple(map(str, content["bands"])))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SceneError(f"'{path}' is damaged ({error!r}): write the chips again, or remove it") from error


def write_index(folder: Path, classes: Sequence[ModelClass], band_names: Sequence[str]) -> None:
    """Write it."""
    listed = [{"id": item.id, "name": item.name, "color": list(item.color)} for item in classes]
    content = {"layout": "pairs", "classes": listed, "bands": list(band_names)}
    (folder / INDEX_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
