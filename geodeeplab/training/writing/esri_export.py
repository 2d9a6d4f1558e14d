"""The text files of an export in Esri's layout, and the statistics that they hold.

The shape of the files was taken from exports that their owners have published; see `esri`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.models import ModelClass
from geodeeplab.raster import Grid
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.folders.esri import DEFINITION_NAME, MAP_NAME, MODE, STATISTICS_NAME, TEXT_NAME
from geodeeplab.training.writing.chip_tiles import CutChip

Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class ChipStatistics:
    """What is counted while chips are written."""

    num_bands: int
    """Bands of the images."""
    num_classes: int
    """Classes."""
    pixels: list[npt.NDArray[np.int64]] = field(default_factory=list)
    """For each chip (K,) the pixels of each class."""
    low: Floats = field(init=False)
    """(C,) least valid value."""
    high: Floats = field(init=False)
    """(C,) greatest valid value."""
    mean: Floats = field(init=False)
    """(C,) mean over the valid pixels."""
    squares: Floats = field(init=False)
    """(C,) sum of the squared deviations from the mean."""
    count: int = 0
    """Valid pixels."""

    def __post_init__(self) -> None:
        self.low, self.high = np.full(self.num_bands, np.inf), np.full(self.num_bands, -np.inf)
        self.mean, self.squares = np.zeros(self.num_bands), np.zeros(self.num_bands)

    def add(self, chip: CutChip) -> None:
        """Count a chip. Means and deviations are joined as in Chan, Golub and LeVeque, 1979."""
        self.pixels.append(np.bincount(chip.labels.reshape(-1), minlength=IGNORE_INDEX + 1)[: self.num_classes])
        values = chip.array[:, chip.valid].astype(np.float64)
        added = values.shape[1]
        if not added:
            return
        mean = values.mean(axis=1)
        shift, total = mean - self.mean, self.count + added
        self.squares += ((values - mean[:, None]) ** 2).sum(axis=1) + shift**2 * self.count * added / total
        self.mean += shift * added / total
        self.low, self.high = np.minimum(self.low, values.min(axis=1)), np.maximum(self.high, values.max(axis=1))
        self.count = total

    def of_bands(self) -> list[dict[str, float]]:
        """Give minimum, maximum, mean and standard deviation of each band."""
        deviation = np.sqrt(self.squares / max(1, self.count))
        columns = zip(self.low, self.high, self.mean, deviation, strict=True)
        return [{"Min": lo, "Max": hi, "Mean": mean, "StdDev": std} for lo, hi, mean, std in columns]


def write_esri_files(
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    statistics: ChipStatistics,
    *,
    classes: Sequence[ModelClass],
    band_names: Sequence[str],
    tile_size: int,
    grids: Sequence[Grid],
) -> None:
    """Write the four text files of an export.

    Args:
        folder: where.
        pairs: paths of image and label, relative to the folder.
        statistics: of all chips.
        classes: in the order of the label indices; their ids are the label values.
        band_names: of the images.
        tile_size: height and width of the chips.
        grids: of the scenes.
    """
    lines = "".join(f"{image}  {label}\n" for image, label in pairs)
    (folder / MAP_NAME).write_text(lines, encoding="utf-8")
    (folder / TEXT_NAME).write_text(_text(statistics, classes, tile_size), encoding="utf-8")
    common = {
        "MetaDataMode": MODE,
        **_cell_sizes(grids),
        "InputRastersProps": {
            "RasterCount": len(grids), "SensorName": "Undefined", "BandNames": [_esri_name(one) for one in band_names],
        },
    }  # fmt: skip
    _write_json(folder / DEFINITION_NAME, common | _definition(statistics, classes, band_names, tile_size))
    _write_json(folder / STATISTICS_NAME, common | _accumulated(statistics, classes, tile_size))


def _definition(
    statistics: ChipStatistics, classes: Sequence[ModelClass], band_names: Sequence[str], tile_size: int
) -> dict[str, Any]:
    tiles = [{"BandName": _esri_name(n)} | s for n, s in zip(band_names, statistics.of_bands(), strict=True)]
    return {
        "ImageHeight": tile_size,
        "ImageWidth": tile_size,
        "ExtractBands": list(range(len(band_names))),
        "BlackenAroundFeature": False,
        "IsMultidimensional": False,
        "CropTileMode": "Fixed_Size",
        "ImageSpaceUsed": "MAP_SPACE",
        "Classes": [{"Value": item.id, "Name": item.name, "Color": list(item.color)} for item in classes],
        "AllTilesStats": tiles,
    }


def _accumulated(statistics: ChipStatistics, classes: Sequence[ModelClass], tile_size: int) -> dict[str, Any]:
    chips = len(statistics.pixels)
    states = zip(statistics.of_bands(), statistics.mean.tolist(), statistics.squares.tolist(), strict=True)
    pixels = np.array(statistics.pixels).reshape(chips, len(classes))
    return {
        "Version": 1,
        "NumBands": statistics.num_bands,
        "TileSizeX": tile_size,
        "TileSizeY": tile_size,
        "NumClasses": len(classes),
        "NumTiles": chips,
        "NumTilesAsDouble": chips,
        "NextTileIndex": chips,
        "OutputFeatures": False,
        "Classes": [{"ClassValue": item.id, "ClassName": item.name} for item in classes],
        "ClassPixelStats": {
            "NumClasses": len(classes),
            "NumImagesTotal": chips,
            "NumImagesPerClass": (pixels > 0).sum(axis=0).tolist(),
            "NumPixelsPerClass": pixels.sum(axis=0).tolist(),
            "NumClassesPerImage": _summary((pixels > 0).sum(axis=1)),
            "PixelsPerClass": [_summary(column) for column in pixels.T],
        },
        "BandStatsState": [
            state | {"M1": mean, "M2": squares, "Num": statistics.count} for state, mean, squares in states
        ],
    }


def _summary(values: npt.NDArray[np.int64]) -> dict[str, float]:
    return {
        "Min": int(values.min()),
        "Max": int(values.max()),
        "Mean": float(values.mean()),
        "Sum": int(values.sum()),
        "Count": len(values),
    }


def _text(statistics: ChipStatistics, classes: Sequence[ModelClass], tile_size: int) -> str:
    """Give the summary for people."""
    pixels = np.array(statistics.pixels)
    per_image = _summary((pixels > 0).sum(axis=1))
    lines = [
        f"images = {len(pixels)} *{statistics.num_bands}*{tile_size}*{tile_size}",
        f"classes = {len(classes)}",
        f"classes per image = [min = {per_image['Min']}, mean = {per_image['Mean']:.2f}, max = {per_image['Max']}]",
        f"{'cls name':<20}{'cls value':>11}{'images':>11}{'pixels':>15}"
        f"{'min size':>14}{'mean size':>14}{'max size':>14}",
    ]
    for item, column in zip(classes, pixels.T, strict=True):
        numbers = f"{column.min():>14.2f}{column.mean():>14.2f}{column.max():>14.2f}"
        lines.append(f"{item.name:<20}{item.id:>11}{(column > 0).sum():>11}{column.sum():>15}{numbers}")
    return "\n".join(lines) + "\n"


def _cell_sizes(grids: Sequence[Grid]) -> dict[str, Any]:
    """Give the least and the greatest pixel size, with the EPSG code of the scene if there is one."""
    sizes = {}
    for name, pick in (("MinCellSize", min), ("MaxCellSize", max)):
        grid = pick(grids, key=lambda one: one.res)
        code = grid.crs.to_epsg() if grid.crs is not None else None
        reference = {} if code is None else {"spatialReference": {"wkid": code, "latestWkid": code}}
        sizes[name] = {"x": grid.res[0], "y": grid.res[1], **reference}
    return sizes


def _esri_name(name: str) -> str:
    """Write a band's name as Esri's list of well-known names does, where it is one; a number is Band_1."""
    if name.isdecimal():
        return f"Band_{name}"
    return {"nir": "NearInfrared", "red": "Red", "green": "Green", "blue": "Blue", "pan": "Panchromatic"}.get(
        name, name
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
