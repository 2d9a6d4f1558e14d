"""Whether a result of a mutated input is right: equal to the unmutated one wherever the decoded inputs are equal.

The networks are 1 × 1 convolutions, so a pixel's label depends on nothing but the pixel. An oracle gives "checked" or
"skipped" (what was decoded cannot be compared), and raises AssertionError where a result is wrong.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize

from fuzzing.inputs import split_safetensors
from fuzzing.trees import Json

Dataset = Any  # of rasterio, which comes without types
Boxes = list[tuple[float, float, float, float]]
FACTS = ("shape", "count", "dtypes", "nodatavals", "scales", "offsets", "colorinterp", "descriptions", "transform")
"""What has to be equal, too, before pixels are compared."""
MARGIN_M = 2.0
"""Ground around a changed geometry that may change with it: all-touched pixels and their neighbours."""


def check_result(name: str, about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    """Check a result.

    Args:
        name: of the oracle.
        about: what it is told; see `Command`.
        folder: with `in` and `out` of the mutated case, and `stdout`.
        good: the same of the unmutated one.
        before: folder with the unmutated inputs.
    """
    return ORACLES[name](about, folder, good, before) if name else "skipped"


def _same_bytes(about: Sequence[str], folder: Path, before: Path) -> bool:
    return all((folder / "in" / one).read_bytes() == (before / one).read_bytes() for one in about)


def _check_labels(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    _check_polygons(folder / "out")
    pixels = equal_pixels(folder / "in" / about[0], before / about[0])
    if pixels is None:
        return "skipped"
    _compare(_labels(folder), _labels(good), pixels)
    return "checked"


def equal_pixels(path: Path, before: Path) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Tell of each pixel whether two rasters hold the same, validity included; None where they cannot be compared."""
    try:
        with rasterio.open(path) as src, rasterio.open(before) as old:
            if any(getattr(src, fact) != getattr(old, fact) for fact in FACTS) or src.crs != old.crs:
                return None
            if src.mask_flag_enums != old.mask_flag_enums or src.gcps[0] or src.rpcs:
                return None
            pixels = [_read(src), _read(old)]
            masks = [src.read_masks(), old.read_masks()]
    except (rasterio.errors.RasterioError, ValueError, OSError, UnicodeDecodeError):
        return None
    same = (pixels[0] == pixels[1]) | ((pixels[0] != pixels[0]) & (pixels[1] != pixels[1]))
    found: np.ndarray[Any, np.dtype[np.bool_]] = (same & (masks[0] == masks[1])).all(axis=0)
    return found


def _read(src: Dataset) -> np.ndarray[Any, Any]:
    pixels: np.ndarray[Any, Any] = src.read()
    return pixels


def _labels(folder: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with rasterio.open(folder / "out" / "a.tif") as src:
        labels: np.ndarray[Any, np.dtype[np.uint8]] = src.read(1)
    return labels


def _compare(
    labels: np.ndarray[Any, Any], good: np.ndarray[Any, Any], where: np.ndarray[Any, np.dtype[np.bool_]] | None = None
) -> None:
    assert labels.shape == good.shape, f"labels have the shape {labels.shape}, not {good.shape}"
    wrong = (labels != good) & (True if where is None else where)
    assert not wrong.any(), f"{int(wrong.sum())} pixels that nothing has touched have other labels"


def _check_polygons(out: Path) -> None:
    """Check that the polygons cover exactly the pixels of their classes."""
    with rasterio.open(out / "a.tif") as src:
        labels, transform = src.read(1), src.transform
    _check_traced(labels, transform, out / "a.gpkg")


def _check_traced(labels: np.ndarray[Any, Any], transform: Affine, path: Path) -> None:
    info, _, shapes, fields = pyogrio.raw.read(path)
    ids = fields[list(info["fields"]).index("class_id")]
    pairs = zip(shapely.from_wkb(shapes), ids.tolist(), strict=True)
    burnt = rasterize(pairs, labels.shape, transform=transform, dtype="uint8") if len(shapes) else np.zeros_like(labels)
    assert (burnt == labels).all(), f"{int((burnt != labels).sum())} pixels of the polygons have other labels"


def _check_traced_labels(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    with rasterio.open(folder / "in" / about[0]) as src:
        if src.count != 1 or src.dtypes[0] != "uint8" or src.nodata not in (0, None) or src.transform.is_identity:
            return "skipped"
        _check_traced(src.read(1) * (src.read_masks(1) > 0), src.transform, folder / "out" / about[1])
    return "checked"


def _check_area(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    _check_polygons(folder / "out")
    boxes = changed_ground(folder / "in" / about[0], before / about[0])
    if boxes is None:
        return "skipped"
    with rasterio.open(good / "out" / "a.tif") as src:
        where = _untouched(src.shape, src.transform, boxes)
    _compare(_labels(folder), _labels(good), where)
    return "checked"


def changed_ground(path: Path, before: Path, *, with_classes: bool = False) -> Boxes | None:
    """Give boxes of the ground that two layers may cover otherwise; None where they cannot be compared."""
    try:
        layers = [_features(one) for one in (path, before)]
    except Exception:  # whatever an independent reader says to a mutated file
        return None
    (crs, features), (old_crs, old) = layers
    if crs != old_crs or (with_classes and {name for _, name in features} != {name for _, name in old}):
        return None
    first, second = Counter(features), Counter(old)
    changed = [shape for shape, _ in ((first - second) + (second - first)).elements()]
    shapes = shapely.from_wkb([shape for shape in changed if shape], on_invalid="fix")  # open rings are repaired, too
    if shapely.is_missing(shapes).any():
        return None
    boxes = shapely.bounds(shapes)
    return [tuple(box) for box in np.atleast_2d(boxes).tolist() if len(box) == 4 and not any(map(math.isnan, box))]


def _features(path: Path) -> tuple[str, list[tuple[bytes | None, str]]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        shapes, names = table["geometry"].to_pylist(), table["cls"].to_pylist()
        crs = json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"].get("crs")
        return json.dumps(crs), list(zip(shapes, map(str, names), strict=True))
    info, _, shapes, fields = pyogrio.raw.read(path)
    names = fields[list(info["fields"]).index("cls")]
    shapes = [None if shape is None else bytes(shape) for shape in shapes]
    return str(info["crs"]), list(zip(shapes, map(str, names), strict=True))


def _untouched(shape: tuple[int, int], transform: Affine, boxes: Boxes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    where = np.ones(shape, dtype=np.bool_)
    for left, bottom, right, top in boxes:
        cols = np.clip([left - MARGIN_M - transform.c, right + MARGIN_M - transform.c], 0, shape[1])
        rows = np.clip([transform.f - top - MARGIN_M, transform.f - bottom + MARGIN_M], 0, shape[0])
        where[int(rows[0]) : math.ceil(rows[1]), int(cols[0]) : math.ceil(cols[1])] = False
    return where


def _check_chips(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    boxes = changed_ground(folder / "in" / about[0], before / about[0], with_classes=True)
    if boxes is None:
        return "skipped"
    checked = False
    for path in sorted((folder / "out" / "c" / "labels").glob("*.tif")):
        with rasterio.open(path) as src:
            labels, where = src.read(1), _untouched(src.shape, src.transform, boxes)
            place = src.transform
        for other in sorted((good / "out" / "c" / "labels").glob("*.tif")):
            with rasterio.open(other) as src:
                if src.transform == place:
                    _compare(labels, src.read(1), where)
                    checked = True
    return "checked" if checked else "skipped"


def _check_figures(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    pixels = equal_pixels(folder / "in" / about[0], before / about[0])
    truth = changed_ground(folder / "in" / about[1], before / about[1], with_classes=True)
    if pixels is None or not pixels.all() or truth is None or truth:
        return "skipped"
    stated, wanted = (json.loads((one / "stdout").read_text()) for one in (folder, good))
    assert _without_paths(stated) == _without_paths(wanted), "the same labels and truth give other figures"
    return "checked"


def _without_paths(tree: Json) -> Json:
    if isinstance(tree, dict):
        return {key: _without_paths(value) for key, value in tree.items() if "second" not in key}
    return [_without_paths(value) for value in tree] if isinstance(tree, list) else tree


def _check_same_json(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    _check_polygons(folder / "out")
    try:
        trees = [json.loads((one / about[0]).read_bytes()) for one in (folder / "in", before)]
    except ValueError:
        return "skipped"
    if trees[0] != trees[1]:
        return "skipped"
    _compare(_labels(folder), _labels(good))
    return "checked"


def _check_same_bytes(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    _check_polygons(folder / "out")
    if not _same_bytes(about, folder, before):
        return "skipped"
    _compare(_labels(folder), _labels(good))
    return "checked"


DECIDES = ("architecture", "classes", "bands", "dtype", "value_range", "gsd_m", "tile_size", "overlap")
"""What of a contract decides about labels."""


def _check_model(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    _check_polygons(folder / "out")
    try:
        (header, rest), (old, old_rest) = (
            split_safetensors((one / about[0]).read_bytes()) for one in (folder / "in", before)
        )
        stated, wanted = (json.loads(one.pop("__metadata__")["geodeeplab"]) for one in (header, old))
    except (ValueError, KeyError, TypeError):
        return "skipped"
    if header != old or rest != old_rest or any(stated.get(key) != wanted.get(key) for key in DECIDES):
        return "skipped"
    _compare(_labels(folder), _labels(good))
    return "checked"


def _check_resumed(about: Sequence[str], folder: Path, good: Path, before: Path) -> str:
    _check_polygons(folder / "out")
    _compare(_labels(folder), _labels(good))
    return "checked"


Oracle = Callable[[Sequence[str], Path, Path, Path], str]

ORACLES: dict[str, Oracle] = {
    "labels": _check_labels,
    "traced": _check_traced_labels,
    "aoi": _check_area,
    "chips": _check_chips,
    "figures": _check_figures,
    "same JSON": _check_same_json,
    "same bytes": _check_same_bytes,
    "model": _check_model,
    "resumed": _check_resumed,
}
