"""`sample`: labels → random points whose truth somebody is to find out, for `evaluate`."""

import html
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import sample_sizes
from geodeeplab.pipeline.evaluating.class_windows import UNKNOWN
from geodeeplab.pipeline.evaluating.label_inputs import LabelInput, open_labels
from geodeeplab.pipeline.evaluating.table import aligned
from geodeeplab.pipeline.told import Progress, Told
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster import (
    Aoi,
    Grid,
    LabelClass,
    atomic_outputs,
    check_output,
    is_vector,
    local_files_only,
    output_errors,
    paths_in,
    to_aoi,
)
from geodeeplab.vector.layers.qgis_style import add_qml, interpretation_qml

if TYPE_CHECKING:
    from geodeeplab.raster import AoiLike
    from geodeeplab.raster.polygons.features import LayerLike

BAND_ROWS = 512
EXPECTED = 0.8
"""User's accuracy of classes of which nothing else is said."""
LAYER, TRUTH_FIELD = "sample", "truth"


@dataclass(frozen=True, kw_only=True)
class SampleDesign:
    """A stratified random sample: how many points of each class of the map."""

    path: Path
    """The file with the points."""
    classes: tuple[LabelClass, ...]
    """K classes of the labels."""
    pixels: NDArray[np.int64]
    """(K,) pixels with each label."""
    sizes: NDArray[np.int64]
    """(K,) points of each."""

    def table(self) -> str:
        """Give a line a class: its share of the map, and its points."""
        share = self.pixels / self.pixels.sum()
        rows = [
            [one.name, f"{share[i]:.2%}", f"{self.sizes[i]:,}"] for i, one in enumerate(self.classes) if self.pixels[i]
        ]
        return "\n".join(aligned([["class", "share", "points"], *rows, ["all", "", f"{self.sizes.sum():,}"]]))

    def to_dict(self) -> dict[str, Any]:
        """Give everything as what JSON knows."""
        return {
            "points": str(self.path),
            "classes": [
                {"id": one.id, "name": one.name, "pixels": int(self.pixels[i]), "points": int(self.sizes[i])}
                for i, one in enumerate(self.classes)
            ],
        }

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.table())}</pre>"


def sample(
    labels: "str | os.PathLike[str] | LayerLike",
    points: str | os.PathLike[str],
    *,
    labels_field: str | None = None,
    labels_encoding: str | None = None,
    like: str | os.PathLike[str] | None = None,
    background: str | int | None = None,
    expected: float | Mapping[str | int, float] = EXPECTED,
    standard_error: float = 0.01,
    least: int = 50,
    total: int | None = None,
    blind: bool = False,
    band: int = 1,
    aoi: "AoiLike | None" = None,
    seed: int = 0,
    overwrite: bool = False,
    local_only: bool = False,
    progress: Progress | None = None,
) -> SampleDesign:
    """Draw points of each class of a map at random, whose truth somebody finds out.

    The points are centres of pixels, each pixel of a class as likely as any other of it, in an order that says nothing.
    Fill in their field `truth` with the name of a class, in QGIS from a list, and give the layer to `evaluate` with
    `class_field="truth", is_sample=True`: that gives areas and accuracies with their uncertainty.

    Polygons are burned as `evaluate` does it: what is told of the map here has to be told there, too.

    Args:
        labels: the map, a label raster or a layer of polygons.
        points: .gpkg to write. Columns: `point`, a number from 1; `class_id` and `class_name` of the map; `map_share`,
            the class's share of the map; `truth`, null.
        labels_field: field of the polygons with their class; by default `class_name`, as `segment` writes it.
        labels_encoding: of the text in their file, where that does not say it.
        like: raster on whose pixels polygons are burned, such as the scene that they were made of; its ground alone is
            sampled.
        background: class of ground that no polygon covers; by default it is in no class, and not sampled.
        expected: user's accuracy that is expected, of all classes, or by name or id; the others' is 0.8. With
            `standard_error` it says how many points there are (Olofsson et al. 2014, equation 13).
        standard_error: that the overall accuracy is to have.
        least: points of each class.
        total: points in all, in place of what follows from `standard_error`.
        blind: leave out what the map says, so that it leads nobody.
        band: 1-based band of the labels.
        aoi: area of interest, see `segment`.
        seed: the same seed gives the same points.
        overwrite: replace a file that exists.
        local_only: see `open_scene`.
        progress: called with pixels read, each twice, and twice all.

    Raises:
        OptionError: an option makes no sense, or nothing has a label.
        SceneError: the raster cannot be read.
        OutputError: the file cannot be written.
    """
    _check_grid(labels, like=like, background=background)
    path = check_output(points, suffixes=(".gpkg",), overwrite=overwrite, inputs=paths_in(labels, like, aoi))
    with ExitStack() as stack:
        stack.enter_context(local_files_only(local_only))
        opened = open_labels(
            stack,
            labels,
            path,  # what is true will be in these points
            field=labels_field,
            encoding=labels_encoding,
            band=band,
            like=like,
            background=background,
        )
        assert opened.grid is not None
        grid = opened.grid
        area = None if aoi is None else to_aoi(aoi, crs=opened.crs)
        told = Told(progress, 2 * grid.height * grid.width)
        count = len(opened.classes)
        pixels = np.zeros(count, dtype=np.int64)
        for _, found in _iter_bands(opened, area, told):
            pixels += np.bincount(found[found != UNKNOWN], minlength=count)
        opened.check_values()
        sizes = sample_sizes(
            pixels,
            expected=_expected(expected, opened.classes),
            standard_error=standard_error,
            least=least,
            total=total,
        )
        random = np.random.default_rng(seed)
        ranks = [
            np.sort(random.choice(pixels[index], size=sizes[index], replace=False, shuffle=False))
            for index in range(count)
        ]
        row, col, index = _find(opened, area, ranks, told)
    order = random.permutation(len(row))
    design = SampleDesign(path=path, classes=opened.classes, pixels=pixels, sizes=sizes)
    _write(design, grid, row[order], col[order], index[order], blind=blind, overwrite=overwrite)
    return design


def _check_grid(
    labels: "str | os.PathLike[str] | LayerLike", *, like: str | os.PathLike[str] | None, background: str | int | None
) -> None:
    """Refuse polygons without a grid, and a raster with another.

    Raises:
        OptionError: there is no grid, or there are two.
    """
    if is_vector(labels) and like is None:
        raise OptionError(
            "points are pixels drawn at random, and a layer of polygons has none: name a raster on whose pixels it is "
            "burned (`like=`), such as its scene"
        )
    if not is_vector(labels) and (like is not None or background is not None):
        raise OptionError("a label raster has its own grid and classes: leave out `like=` and `background=`")


def _iter_bands(labels: LabelInput, aoi: Aoi | None, told: Told) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield bands of rows, the first row of each and class indices (n, W); `UNKNOWN` where there is no label."""
    assert labels.grid is not None
    grid, windows = labels.grid, labels.windows_on(labels.grid)
    for start in range(0, grid.height, BAND_ROWS):
        part = Window(0, start, grid.width, min(BAND_ROWS, grid.height - start))
        found = windows.read(part)
        if aoi is not None:
            found[~aoi.mask(part, grid)] = UNKNOWN
        yield start, found
        told.count(found.size)


def _find(
    labels: LabelInput, aoi: Aoi | None, ranks: list[NDArray[np.int64]], told: Told
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find pixels by their rank among those of their class, row by row: their rows, columns and class indices."""
    found: list[NDArray[np.int64]] = [np.empty((3, 0), dtype=np.int64)]
    passed = np.zeros(len(ranks), dtype=np.int64)
    for start, band in _iter_bands(labels, aoi, told):
        for index, wanted in enumerate(ranks):
            places = np.flatnonzero(band == index)
            chosen = wanted[(wanted >= passed[index]) & (wanted < passed[index] + len(places))] - passed[index]
            row, col = np.divmod(places[chosen], band.shape[1])
            found.append(np.stack([row + start, col, np.full(len(row), index)]))
            passed[index] += len(places)
    row, col, index = np.concatenate(found, axis=1)
    order = np.lexsort((col, row))
    return row[order], col[order], index[order]


def _write(
    design: SampleDesign,
    grid: Grid,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    index: NDArray[np.int64],
    *,
    blind: bool,
    overwrite: bool,
) -> None:
    """Write the points, with a style that asks for their truth."""
    import geopandas as gpd
    import shapely

    to = grid.transform
    x, y = (to.a * (col + 0.5) + to.b * (row + 0.5) + to.c, to.d * (col + 0.5) + to.e * (row + 0.5) + to.f)
    share = design.pixels / design.pixels.sum()
    columns: dict[str, Any] = {"point": np.arange(1, len(row) + 1, dtype=np.int32)}
    if not blind:
        columns["class_id"] = np.array([one.id for one in design.classes], dtype=np.int32)[index]
        columns["class_name"] = np.array([one.name for one in design.classes], dtype=object)[index]
        columns["map_share"] = share[index]
    columns[TRUTH_FIELD] = np.full(len(row), None, dtype=object)
    frame = gpd.GeoDataFrame(columns, geometry=shapely.points(x, y), crs=grid.crs).astype({TRUTH_FIELD: "string"})
    no_crs = ignore_warnings(UserWarning, "'crs' was not provided")
    path = design.path
    with atomic_outputs([path], overwrite=overwrite) as temporary, output_errors(path, RuntimeError), no_crs:
        frame.to_file(os.fspath(temporary[path]), layer=LAYER, driver="GPKG", geometry_type="Point")
        qml = interpretation_qml(TRUTH_FIELD, [one.name for one in design.classes])
        add_qml(temporary[path], LAYER, qml, name="sample", description="what is there?")


def _expected(said: float | Mapping[str | int, float], classes: tuple[LabelClass, ...]) -> NDArray[np.float64]:
    """Give the user's accuracy that is expected of each class.

    Raises:
        OptionError: a name or id is no class.
    """
    if not isinstance(said, Mapping):
        return np.full(len(classes), float(said))
    left = {str(key): float(value) for key, value in said.items()}
    found = np.array([left.pop(one.name, left.pop(str(one.id), EXPECTED)) for one in classes])
    if left:
        raise OptionError(
            f"`expected=` names '{next(iter(left))}', which is no class: choose among "
            f"{', '.join(one.name for one in classes)}"
        )
    return found
