"""Models as `arcgis.learn` saves them: what their definition (`.emd`) says; their networks are not run here.

A definition is a JSON file beside the weights, a fastai state dict in a pickle (`.pth`), and a package (`.dlpk`) is a
zip of both. Both may come from anybody: nothing is unpacked, and no path in a definition is followed.

Source: https://pro.arcgis.com/en/pro-app/latest/help/analysis/deep-learning/introduction-to-deep-learning.htm
"""

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from geodeeplab.errors import ModelError
from geodeeplab.models.checks import shown
from geodeeplab.text import parse_json, read_json, to_plain

SUFFIX, PACKAGE_SUFFIX = ".emd", ".dlpk"
KIND = "ImageClassification"
"""Esri's name for the kind of model that gives each pixel a class."""
CLASSIFIER = "ArcGISImageClassifier.py"
"""What runs that kind; the oldest definitions name nothing else that tells it."""
NETWORK = "DeepLab"
"""The network whose weights can be a start: those of torchvision's DeepLabV3."""
LARGEST = 16 * 1024**2
"""Bytes of a definition in a package, at most."""
MOST_NAMED, LONGEST = 8, 40
"""Names in a message, and letters of one, at most."""
AGAIN = "copy the model's folder again"

Color = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class EsriModel:
    """What the definition of a model says."""

    path: Path
    """The definition, or the package that holds it."""
    network: str
    """Its class in `arcgis.learn`, such as DeepLab or UnetClassifier."""
    classes: tuple[str, ...]
    """Names of its classes, in the order of its outputs, which one for unlabelled ground precedes."""
    bands: tuple[str, ...]
    """Names of its bands, or their numbers from 1 where they have none; empty where nothing is said."""
    backbone: str | None
    """Name of its backbone; None where nothing is said."""
    with_pointrend: bool
    """Whether it refines with PointRend."""
    weights: Path | None
    """The file of its weights, which lies beside the definition; None where none does."""

    def __str__(self) -> str:
        """Describe it on one line."""
        bands = f" on the bands {_listed(self.bands)}" if self.bands else ""
        count = len(self.classes)
        classes = f"{count} class{'es' if count > 1 else ''} ({_listed(self.classes)})"
        return f"{self.path} is Esri's {self.network[:LONGEST]} of {classes}{bands}"

    def start(self) -> tuple[str, Path]:
        """Give the backbone and the file of weights that a network of ours can start from.

        Raises:
            ModelError: if it has none.
        """
        if self.network == NETWORK and self.backbone is not None and self.weights is not None:
            return self.backbone, self.weights
        if self.path.suffix.lower() == PACKAGE_SUFFIX:
            raise ModelError(f"{self}: unpack it, as the zip file that it is, and give its .emd")
        reason = "has no weights beside it" if self.network == NETWORK else f"is another network than {NETWORK}"
        raise ModelError(f"{self}, and {reason}, so nothing can start from it: train anew on the chips it learned from")

    def refusal(self) -> ModelError:
        """Give the error for whoever would run it."""
        step = "train anew on the chips that it learned from, with prepare_data and DeepLab"
        if self.network == NETWORK and self.weights is not None:
            step = f"start from them with DeepLab.from_model({str(self.path)!r}, data), data being of prepare_data"
        return ModelError(f"{self}; its weights, a pickle of another library's network, are not run here: {step}")


def find_definition(path: str | os.PathLike[str]) -> Path | None:
    """Give the definition or package that a path names, or that lies in the folder it names; None for anything else.

    Raises:
        ModelError: if a folder holds several.
    """
    place = Path(path)
    if place.suffix.lower() in (SUFFIX, PACKAGE_SUFFIX):
        return place if place.is_file() else None
    if not place.is_dir() or not os.access(place, os.R_OK | os.X_OK):
        return None
    found = sorted(one for one in place.iterdir() if one.suffix.lower() == SUFFIX and one.is_file())
    if len(found) > 1:
        raise ModelError(f"{place} holds {len(found)} definitions, such as {found[0].name}: give the path of one")
    return found[0] if found else None


def read_esri_model(path: Path) -> EsriModel:
    """Read a definition, or that in a package.

    Raises:
        ModelError: if it cannot be read, is of another kind of model, or names no classes.
    """
    content = _read_package(path) if path.suffix.lower() == PACKAGE_SUFFIX else _read_file(path)
    if "MetaDataMode" in content:
        raise ModelError(f"{path} describes exported chips, not a model: open their folder with prepare_data")
    kind = content.get("ModelType", KIND if CLASSIFIER in str(content.get("InferenceFunction")) else None)
    if kind != KIND:
        raise ModelError(
            f"{path} defines a model of the kind {shown(kind)}, which gives no class of each pixel: only those of the "
            f"kind {KIND} are read"
        )
    try:
        classes = [to_plain(name) for _, name, _ in iter_classes(content)]
        bands = _bands(content)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
        raise ModelError(f"{path} is not as arcgis.learn writes it ({shown(str(error))}): {AGAIN}") from error
    if not classes:
        raise ModelError(f"{path} names no classes, which a definition lists under 'Classes': {AGAIN}")
    stated = content.get("ModelParameters")
    parameters = stated if isinstance(stated, Mapping) else {}
    return EsriModel(
        path=path,
        network=_text(content.get("ModelName")) or "model",
        classes=tuple(classes),
        bands=bands,
        backbone=_text(parameters.get("backbone")) or None,
        with_pointrend=parameters.get("pointrend") is True,
        weights=_weights(path, content.get("ModelFile")),
    )


def iter_classes(content: Mapping[str, Any]) -> Iterator[tuple[int, str, Color | None]]:
    """Yield value, name and colour of each class of a definition, or of an export's; one without a value is none.

    Raises:
        AttributeError, TypeError, ValueError, OverflowError: for what is no list of classes.
    """
    for item in content.get("Classes") or []:
        value = item.get("Value", item.get("ClassValue"))
        if value is not None:
            name = str(item.get("Name", item.get("ClassName", value)))
            yield int(value), name, _color(item.get("Color") or [])


def _color(color: Sequence[Any]) -> Color | None:
    """Read a colour; -1 stands for none."""
    if len(color) < 3 or not all(0 <= int(part) <= 255 for part in color[:3]):
        return None
    return int(color[0]), int(color[1]), int(color[2])


def _bands(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the bands that are read: by name where there are names, by number from 1 else."""
    extracted = [int(index) for index in content.get("ExtractBands") or []]
    if min(extracted, default=0) < 0:
        raise ValueError(f"ExtractBands has {min(extracted)}")
    names = [_text(name) for name in content.get("Bands") or []]
    if not extracted or len(names) == len(extracted):
        return tuple(names)
    return tuple(names[index] if names else str(index + 1) for index in extracted)


def _weights(path: Path, name: object) -> Path | None:
    """Find the file of weights by its name beside the definition, whatever folder the definition says."""
    if not isinstance(name, str) or "\0" in name:
        return None
    place = path.with_name(PureWindowsPath(name).name or "?")
    return place if place.is_file() and path.suffix.lower() == SUFFIX else None


def _read_file(path: Path) -> dict[str, Any]:
    return read_json(path, dict, error=ModelError, step=AGAIN)


def _read_package(path: Path) -> dict[str, Any]:
    """Read the definition in a package, without unpacking anything else."""
    try:
        with zipfile.ZipFile(path) as package:
            found = [one for one in package.infolist() if one.filename.lower().endswith(SUFFIX)]
            if len(found) != 1 or found[0].file_size > LARGEST:
                raise ModelError(f"{path} holds {len(found)} definitions, or one too large, not one of text: {AGAIN}")
            content = parse_json(package.read(found[0]))
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # whatever a zip raises
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} is no package that can be read ({shown(str(error))}): copy it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"the definition in {path} is not a JSON object: {AGAIN}")
    return content


def _listed(names: Sequence[str]) -> str:
    more = ["…"] if len(names) > MOST_NAMED else []
    return ", ".join([*(name[:LONGEST] for name in names[:MOST_NAMED]), *more])


def _text(value: object) -> str:
    return to_plain(value) if isinstance(value, str) else ""
