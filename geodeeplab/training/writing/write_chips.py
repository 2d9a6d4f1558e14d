"""Folders of chips written from labelled scenes: for Esri's programs, or as plain pairs for any other."""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.models import ModelClass
from geodeeplab.raster import Band
from geodeeplab.raster.outputs.folder import atomic_folder
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.folders.chip_files import INDEX_NAME, ChipFiles, ImageFormat, write_index
from geodeeplab.training.folders.esri import DEFINITION_NAME, IMAGES, LABELS, MAP_NAME, STATISTICS_NAME, TEXT_NAME
from geodeeplab.training.scenes.labelled import LabelledScene
from geodeeplab.training.writing.chip_tiles import ChipLattice, CutChip, iter_chips
from geodeeplab.training.writing.esri_export import ChipStatistics, write_esri_files

Layout = Literal["esri", "pairs"]
LAYOUTS: tuple[Layout, ...] = ("esri", "pairs")
Progress = Callable[[int, int], None]
"""Called with the pixels that are done and all there are; may raise to stop the work."""

KNOWN_NAMES = (IMAGES, LABELS, MAP_NAME, TEXT_NAME, DEFINITION_NAME, STATISTICS_NAME, INDEX_NAME)
"""What a folder of chips holds: one with nothing else may be overwritten."""


@dataclass(frozen=True, kw_only=True)
class ChipOptions:
    """Which chips are written, and how."""

    lattice: ChipLattice
    """Where they lie."""
    layout: Layout = "esri"
    """Esri's "Classified Tiles" with its text files, or plain pairs with `chips.json`."""
    image_format: ImageFormat = "tif"
    """Of the images; see `ChipFiles`."""
    min_labelled: float = 0.0
    """Least share of a chip's pixels that is labelled; chips without any labelled pixel are left out at 0, too."""
    max_nodata: float = 1.0
    """Greatest share of a chip's pixels without data; chips that hold no data are always left out."""
    keep_unlabelled: bool = False
    """Whether chips without a label are written, too."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            OptionError: if one is out of its range.
        """
        if self.layout not in LAYOUTS:
            raise OptionError(f"the layout is one of {', '.join(LAYOUTS)}, not {self.layout!r}")
        for name, share in (("min_labelled", self.min_labelled), ("max_nodata", self.max_nodata)):
            if not 0 <= share <= 1:
                raise OptionError(f"`{name}=` is a share of the chip's pixels, from 0 to 1, not {share:g}")
        if self.keep_unlabelled and self.min_labelled > 0:
            raise OptionError(
                f"chips without a label have less than `min_labelled=` ({self.min_labelled:g}): leave out "
                "`keep_unlabelled=True` or `min_labelled=`"
            )

    def reason_to_leave_out(self, chip: CutChip) -> str | None:
        """Say why a chip is not written; None if it is."""
        nodata = 1 - float(chip.valid.mean())
        if nodata == 1 or nodata > self.max_nodata:
            return "nodata"
        overlap = float((chip.labels != IGNORE_INDEX).mean())
        if overlap < self.min_labelled or (overlap == 0 and not self.keep_unlabelled):
            return "unlabelled"
        return None


def write_chips(
    scenes: Sequence[LabelledScene],
    classes: Sequence[ModelClass],
    dst_folder: str | os.PathLike[str],
    options: ChipOptions,
    *,
    inputs: Sequence[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the chips of labelled scenes into a folder, which appears when all of them are written.

    Label values are the ids of the classes, and 0 where nothing is labelled or valid.

    Args:
        scenes: with the same bands.
        classes: in the order of the label indices.
        dst_folder: where; its parent exists.
        options: which chips, and how.
        inputs: the files that are read, none of which may lie in a folder that is replaced.
        overwrite: whether a folder of chips that is there may be replaced.
        progress: told how far the work is.

    Returns:
        Facts, as JSON can hold them.

    Warns:
        GeoDeepLabWarning: chips share ground, so that a random split of them leaks.

    Raises:
        OptionError: the format cannot hold the bands.
        OutputError: the folder cannot be written.
        SceneError: scenes have other bands than the first, a file is damaged, or no chip is left.
    """
    started = time.perf_counter()
    files = ChipFiles(bands=_common_bands(scenes), image_format=options.image_format)
    statistics = ChipStatistics(num_bands=len(files.bands), num_classes=len(classes))
    left_out = {"unlabelled": 0, "nodata": 0}
    pairs: list[tuple[str, str]] = []
    ids = _label_values(classes)
    _warn_of_shared_ground(options.lattice)
    with atomic_folder(dst_folder, overwrite=overwrite, known=KNOWN_NAMES, inputs=inputs) as folder:
        for name in (IMAGES, LABELS):
            (folder / name).mkdir()
        for chip in _iter_all(scenes, options.lattice, progress):
            reason = options.reason_to_leave_out(chip)
            if reason is not None:
                left_out[reason] += 1
                continue
            stem = f"{len(pairs):09d}"
            image, label = f"{IMAGES}/{stem}.{files.image_format}", f"{LABELS}/{stem}.{files.label_format}"
            statistics.add(files.write(chip, folder / image, folder / label, ids=ids))
            pairs.append((image, label))
        if not pairs:
            raise SceneError(
                f"no chip is left to write, {left_out['unlabelled']} have too few labelled pixels and "
                f"{left_out['nodata']} no data: check that labels and scenes lie on the same ground, or lower "
                "`min_labelled=`"
            )
        _write_texts(folder, pairs, statistics, classes, files, options, scenes)
    return {
        "folder": str(dst_folder),
        "layout": options.layout,
        "chips": len(pairs),
        "left_out": left_out,
        "tile_size": options.lattice.tile_size,
        "stride": options.lattice.step,
        "angles": options.lattice.angles,
        "bands": [band.name for band in files.bands],
        "dtype": str(files.dtype),
        "class_pixels": {c.name: int(n) for c, n in zip(classes, np.sum(statistics.pixels, axis=0), strict=True)},
        "scenes": [scene.name for scene in scenes],
        "seconds": round(time.perf_counter() - started, 3),
    }


def _iter_all(scenes: Sequence[LabelledScene], lattice: ChipLattice, progress: Progress | None) -> Iterator[CutChip]:
    """Cut the chips of all scenes in their order."""
    corners = [lattice.corners(scene.grid.shape) for scene in scenes]
    area = lattice.tile_size**2 * len(lattice.angles)
    total, done = area * sum(map(len, corners)), 0
    for scene, places in zip(scenes, corners, strict=True):
        for corner in places:
            yield from iter_chips(scene, lattice, corner)
            done += area
            if progress is not None:
                progress(done, total)
        scene.close()


def _write_texts(
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    statistics: ChipStatistics,
    classes: Sequence[ModelClass],
    files: ChipFiles,
    options: ChipOptions,
    scenes: Sequence[LabelledScene],
) -> None:
    names = [band.name for band in files.bands]
    if options.layout == "pairs":
        write_index(folder, classes, names)
        return
    write_esri_files(
        folder,
        pairs,
        statistics,
        classes=classes,
        band_names=names,
        tile_size=options.lattice.tile_size,
        grids=[scene.grid for scene in scenes],
    )


def _label_values(classes: Sequence[ModelClass]) -> npt.NDArray[np.uint8]:
    """Give (256,) the label value of each class index, 0 where there is none."""
    ids = np.zeros(256, dtype=np.uint8)
    ids[: len(classes)] = [item.id for item in classes]
    return ids


def _common_bands(scenes: Sequence[LabelledScene]) -> tuple[Band, ...]:
    if not scenes:
        raise SceneError("no scene is given: chips are cut from at least one")
    first = scenes[0]
    for scene in scenes[1:]:
        mine, theirs = ([(band.name.casefold(), band.dtype) for band in one.bands] for one in (scene, first))
        if mine != theirs:
            raise SceneError(
                f"chips of one folder have the same bands, but '{first.name}' has {_listed(theirs)} and '{scene.name}' "
                f"{_listed(mine)}: choose those in common with bands, or write two folders"
            )
    return first.bands


def _listed(bands: Sequence[tuple[str, np.dtype[Any]]]) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in bands)


def _warn_of_shared_ground(lattice: ChipLattice) -> None:
    why = []
    if lattice.step < lattice.tile_size:
        why.append(f"a stride of {lattice.step} is less than the tile size of {lattice.tile_size}")
    if lattice.rotation:
        why.append(f"each is written at {len(lattice.angles)} angles")
    if why:
        warnings.warn(
            f"these chips share ground ({' and '.join(why)}): a random split of them into training and validation "
            "leaks; split by the ground, as prepare_data does",
            GeoDeepLabWarning,
            stacklevel=3,
        )
