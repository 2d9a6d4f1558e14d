"""`adapt`: a few polygons of a scene into a model of it."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from geodeeplab.adaptation.adaptation import METRIC, Adaptation
from geodeeplab.adaptation.cache import FeatureCache, cache_folder
from geodeeplab.adaptation.cells import (
    SceneLabels,
    ground_cells,
    labelled_cells,
    spread_tiles,
    tiles_with_labels,
)
from geodeeplab.adaptation.crossvalidation import cross_validate, fold_polygons, group_polygons
from geodeeplab.adaptation.encoders import BaseModel, build_untrained, fit_projections
from geodeeplab.adaptation.estimate import make_report
from geodeeplab.adaptation.head import (
    Trees,
    add_ground,
    class_shares,
    correct_shares,
    distil,
    fit_trees,
    head_probabilities,
)
from geodeeplab.adaptation.normalising import BandFacts, measure_bands
from geodeeplab.adaptation.report import Report
from geodeeplab.adaptation.samples import Cells, LabelledCells
from geodeeplab.adaptation.tiles import iter_features
from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.models import AdaptedNetwork, Contract, Model, ModelClass, round_weights
from geodeeplab.pipeline.fit import sample_pixels
from geodeeplab.pipeline.plan import Plan, open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import AoiLike, Scene, SceneLike, local_files_only, open_scene, to_aoi
from geodeeplab.raster.polygons.burn import Overlap
from geodeeplab.tiling import Tile
from geodeeplab.training.scenes.class_table import ClassesLike, ClassMapping
from geodeeplab.training.scenes.labels import LabelRule, LabelsLike
from geodeeplab.training.scenes.open_labelled import labels_of_scenes, list_scenes, open_labels

TILE_SIZE, OVERLAP = 512, 64
"""Pixels; what lies in the overlap is computed twice."""
GROUND_CELLS, GROUND_TILES = 24_000, 24
"""Cells, and tiles, that stand for the ground of all scenes."""
PROJECTION_TILES = 6
"""Tiles that principal components are fitted to."""
STAGES = ("features", "head", "report")

Progress = Callable[[str, int, int], None]
"""Called with a stage of `STAGES`, what is done of it, and what there is in all; it may raise to cancel."""


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """Scenes, their labels and the plans that `segment` will run them by."""

    plans: list[Plan]
    labels: list[SceneLabels]
    classes: tuple[ModelClass, ...]


def adapt(
    scenes: SceneLike | Sequence[SceneLike],
    labels: LabelsLike | Sequence[LabelsLike],
    *,
    class_field: str | None = None,
    classes: ClassesLike | None = None,
    class_mapping: ClassMapping | None = None,
    ignore_unknown: bool = False,
    background: str | None = None,
    labelled: AoiLike | None = None,
    on_overlap: Overlap = "last",
    all_touched: bool = False,
    layer: str | None = None,
    labels_encoding: str | None = None,
    model: BaseModel = "auto",
    bands: Sequence[str | int] | None = None,
    gsd_m: float | None = None,
    tile_size: int = TILE_SIZE,
    overlap: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    name: str = "adapted",
    licence: str = "",
    seed: int = 0,
    since: "Adaptation | str | PathLike[str] | None" = None,
    cache: bool = True,
    progress: Progress | None = None,
    local_only: bool = False,
) -> Adaptation:
    """Make a model of a scene from a few polygons of it, in seconds.

    Frozen networks and the colours around each pixel give features; trees learn the classes from the polygons, and a
    small head learns from the trees. What comes out is one network, which `segment` runs on this and on other scenes.

    Args:
        scenes: what `open_scene` takes, or a list of such things, each a scene of its own.
        labels: polygons of the classes, one layer for all scenes or a list with one for each; or label rasters. See
            `prepare_data`, as for all options about labels.
        class_field: field of the polygons that names their class.
        classes: which classes there are; by default all that the labels have.
        class_mapping: the class's name for a value of the labels; None: ignore it.
        ignore_unknown: ignore values that no class has; by default they are refused.
        background: name of the class of ground without a label; by default such ground is ignored. To learn from
            polygons of a single class, it is needed: this class against the rest.
        labelled: polygons of what was labelled; outside of them everything is ignored.
        on_overlap: where polygons overlap, the later one counts ("last"), the smaller one, or none ("ignore").
        all_touched: polygons cover every pixel that they touch, not only those whose centre they hold.
        layer: name of the layer, in vector files of several.
        labels_encoding: of the text in a vector file that does not say it, or says it wrongly.
        model: the model to adapt: a bundled one's name, a GeoDeepLab model file or a loaded model, adapted before or
            not. `auto`: `landcover-aerial` where the scene has 8-bit red, green and blue. None: features of ImageNet
            and of the colours alone.
        bands: names or 1-based numbers; by default all but alpha. Red, green and blue go through the networks, all
            count by their colours.
        gsd_m: ground sample distance that the model sees, in metres; by default the scene's own.
        tile_size: pixels of a tile along each axis.
        overlap: pixels that neighbouring tiles share; by default 64, in small tiles an eighth.
        batch_size: tiles at once; by default what suits the device.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        threads: threads of each forward pass on a CPU.
        name: the model's name.
        licence: licence of the model.
        seed: what trees and head are drawn by: the same seed gives the same model.
        since: the adaptation, or the file of the model, that this is the next round of: what has changed is told.
        cache: keep features in the user's cache folder (2 GB at most), so that a next round need not compute them.
        progress: called with the stage, what is done and what there is in all; it may raise to cancel.
        local_only: see `open_scene`.

    Warns:
        GeoDeepLabWarning: a class has no polygon on valid ground, or features cannot be kept.

    Raises:
        OptionError: no polygon lies on the scenes, all are of one class, or options cannot be.
        SceneError, ModelError: a scene or a model cannot be used.
    """
    rule = LabelRule(
        class_field=class_field,
        classes=classes,
        class_mapping=class_mapping,
        ignore_unknown=ignore_unknown,
        background=background,
        labelled=labelled,
        on_overlap=on_overlap,
        all_touched=all_touched,
        layer=layer,
        encoding=labels_encoding,
    )
    scene_list = list_scenes(scenes)
    told = progress or _say_nothing
    overlap = min(OVERLAP, tile_size // 8 // 2 * 2) if overlap is None else overlap
    run = partial(
        Request,
        tile_size=tile_size,
        overlap=overlap,
        batch_size=batch_size,
        device=device,
        precision=precision,
        threads=threads,
        bands=bands,
        gsd_m="native" if gsd_m is None else gsd_m,
        local_only=local_only,
    )
    with ExitStack() as stack:
        stack.enter_context(local_files_only(local_only))
        opened = [stack.enter_context(open_scene(one, bands=bands)) for one in scene_list]
        facts = _measure(opened)
        label_list = labels_of_scenes(labels, len(opened))
        grids = [scene.grid for scene in opened]
        table, _ = open_labels(label_list, rule, grids, grids)
        _check_classes(table.classes, background)
        network, sources = build_untrained(facts, model, classes=len(table.classes))
        contract = _contract(name, network, facts, table.classes, gsd_m=gsd_m, tile_size=tile_size, overlap=overlap)
        adapted = Model(network=network, contract=contract)
        plans = [stack.enter_context(open_plan(run(scene=one, model=adapted))) for one in scene_list]
        seen = [plan.model_scene.grid for plan in plans]
        _, readers = open_labels(label_list, rule, seen, grids)
        scene_labels = [
            SceneLabels(
                number=number,
                reader=reader,
                grid=grid,
                labelled=None if labelled is None else to_aoi(labelled, crs=grid.crs),
            )
            for number, (reader, grid) in enumerate(zip(readers, seen, strict=True))
        ]
        cells, ground = _features(
            _Opened(plans=plans, labels=scene_labels, classes=table.classes),
            network,
            FeatureCache(cache_folder() if cache else None),
            seed=seed,
            progress=partial(told, "features"),
        )
    used = max(1, torch.get_num_threads() if threads is None else threads)
    fit = partial(fit_trees, classes=len(table.classes), seed=seed, threads=used)
    trees = fit(cells, encoded=network.colour.channels if network.encoders else None)
    found = trees(ground.features)
    shares = class_shares(found)
    trees = add_ground(trees, cells, ground.features, correct_shares(found, shares), seed=seed, threads=used)
    found = trees(ground.features)
    shares = class_shares(found)
    distil(
        network,
        (ground.features, correct_shares(found, shares)),
        (cells.features, correct_shares(trees(cells.features), shares)),
        seed=seed,
        progress=partial(told, "head"),
    )
    round_weights(network)
    of_map = head_probabilities(network, ground.features)
    report = _report(cells, fit, shares, of_map, table.classes, seed=seed, progress=partial(told, "report"))
    contract = replace(
        contract,
        licence=licence,
        provenance=_provenance(rule, opened, cells, sources, seed=seed),
        metrics={METRIC: report.to_dict()},
    )
    return Adaptation(
        model=Model(network=network, contract=contract),
        scenes=tuple(scene_list),
        request=run(scene=scene_list[0]),
        report=report,
        trees=trees,
        cells=cells,
        ground=ground,
        grids=tuple(seen),
        since=since,
    )


def _measure(scenes: Sequence[Scene]) -> BandFacts:
    """Measure the bands of all scenes.

    Raises:
        SceneError: they have other bands or data types, or no valid pixel.
    """
    first = scenes[0]
    for other in scenes[1:]:
        if len(other.bands) != len(first.bands) or other.dtype != first.dtype:
            raise SceneError(
                f"scenes are alike in bands and type, and '{first.path}' has {len(first.bands)} of {first.dtype}, "
                f"and '{other.path}' {len(other.bands)} of {other.dtype}: choose `bands=` that all have, or adapt each"
            )
    samples = [sample_pixels(one, to_take="statistics", or_else="choose another scene") for one in scenes]
    return measure_bands(first.bands, np.concatenate(samples, axis=1), first.dtype.name)


def _check_classes(classes: Sequence[ModelClass], background: str | None) -> None:
    """Refuse a single class.

    Raises:
        OptionError: there is one alone.
    """
    if len(classes) < 2:
        only = classes[0].name
        raise OptionError(
            f"all polygons are of one class, '{only}', and a model tells apart two or more: draw polygons of what is "
            f"not {only}, or pass `background=` to take all other ground for it"
            if background is None
            else f"`background={background}` is the class of the polygons, too: give the rest another name"
        )


def _contract(
    name: str,
    network: AdaptedNetwork,
    facts: BandFacts,
    classes: tuple[ModelClass, ...],
    *,
    gsd_m: float | None,
    tile_size: int,
    overlap: int,
) -> Contract:
    return Contract(
        name=name,
        architecture=network.architecture,
        classes=classes,
        bands=facts.bands,
        dtype=facts.dtype,
        value_range=facts.value_range,
        gsd_m=gsd_m,
        tile_size=tile_size,
        overlap=overlap,
    )


def _features(
    opened: _Opened, network: AdaptedNetwork, cache: FeatureCache, *, seed: int, progress: Callable[[int, int], None]
) -> tuple[LabelledCells, Cells]:
    """Give the labelled cells of all scenes, and those that stand for their ground.

    Raises:
        OptionError: nothing is labelled, or all of it is of one class.
    """
    plans, count = opened.plans, len(opened.plans)
    sample = [spread_tiles(one.lattice, max(1, PROJECTION_TILES // count)) for one in plans]
    fit_projections(network, plans, sample, cache)
    spread = [spread_tiles(plan.lattice, max(2, GROUND_TILES // count)) for plan in plans]
    drawn = [tiles_with_labels(one, plan.lattice) for one, plan in zip(opened.labels, plans, strict=True)]
    if not any(drawn):
        raise OptionError(
            "no polygon lies on the scene, so there is nothing to learn from: check that both show the same place, and "
            "that their CRS are right"
        )
    tiles = [_united(*pair) for pair in zip(spread, drawn, strict=True)]
    total, before = sum(map(len, tiles)), 0
    per_tile = -(-GROUND_CELLS // sum(map(len, spread)))
    labelled, ground = [], []
    for number, (plan, some) in enumerate(zip(plans, tiles, strict=True)):
        here = {(tile.row, tile.col) for tile in spread[number]}

        def tell(done: int, _: int, before: int = before) -> None:
            progress(before + done, total)

        for found in iter_features(plan, network, some, cache, progress=tell):
            labelled.append(labelled_cells(found, opened.labels[number], plan.lattice, seed=seed))
            if (found.tile.row, found.tile.col) in here:
                ground.append(ground_cells(found, plan.lattice, count=per_tile, scene=number, seed=seed))
        before += len(some)
    return _joined_labels(labelled, opened.classes), _joined(ground)


def _united(*tiles: Sequence[Tile]) -> list[Tile]:
    """Give each tile of several lists once, in the lattice's order."""
    found = {(tile.row, tile.col): tile for some in tiles for tile in some}
    return [found[key] for key in sorted(found)]


def _joined(parts: Sequence[Cells]) -> Cells:
    names = ("features", "scene", "row", "col")
    return Cells(**{name: np.concatenate([getattr(one, name) for one in parts]) for name in names})


def _joined_labels(parts: Sequence[LabelledCells], classes: Sequence[ModelClass]) -> LabelledCells:
    """Join labelled cells; polygons are numbered from 0 over all scenes, apart by class.

    Raises:
        OptionError: there is none, or all are of one class.
    """
    joined = _joined(parts)
    label, polygon = (np.concatenate([getattr(one, name) for one in parts]) for name in ("label", "polygon"))
    if not len(label):
        raise OptionError("no polygon covers a valid pixel of the scene: check its nodata value, and where they lie")
    present = np.unique(label)
    if len(present) < 2:
        raise OptionError(
            f"on the scene all polygons are of one class, '{classes[present[0]].name}': draw polygons of another, too"
        )
    missing = [item.name for number, item in enumerate(classes) if number not in present]
    if missing:
        warnings.warn(
            f"no polygon of {', '.join(missing)} covers a valid pixel, so the map will show none of it: draw one",
            GeoDeepLabWarning,
            stacklevel=4,
        )
    key = np.column_stack([joined.scene, label, polygon])
    numbers = np.unique(key, axis=0, return_inverse=True)[1]
    return LabelledCells(**vars(joined), label=label, polygon=numbers.reshape(-1).astype(np.int64))


def _report(
    cells: LabelledCells,
    fit: Callable[[LabelledCells], Trees],
    shares: npt.NDArray[np.float64],
    of_map: npt.NDArray[np.float32],
    classes: Sequence[ModelClass],
    *,
    seed: int,
    progress: Callable[[int, int], None],
) -> Report:
    """Score every polygon by trees that have not seen it."""
    folds = fold_polygons(cells, seed=seed)
    done = 0

    def fit_one(some: LabelledCells) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
        nonlocal done
        trees = fit(some)
        done += 1
        progress(done, len(np.unique(folds[folds >= 0])))
        return lambda features: correct_shares(trees(features), shares)

    if (folds >= 0).any():
        probabilities = cross_validate(cells, fit_one, folds=folds)
    else:
        probabilities = np.full((len(cells), len(classes)), np.nan, dtype=np.float32)
    map_shares = np.bincount(of_map.argmax(axis=1), minlength=len(classes)) / len(of_map)
    return make_report(
        cells,
        probabilities,
        classes=[item.name for item in classes],
        map_shares=map_shares,
        map_probabilities=of_map,
        places=group_polygons(cells),
        seed=seed,
    )


def _provenance(
    rule: LabelRule, scenes: Sequence[Scene], cells: LabelledCells, sources: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """Give what the model was made from; names of files, not where they lie."""
    from geodeeplab import __version__

    firsts = np.unique(cells.polygon, return_index=True)[1]
    return {
        "made_by": f"geodeeplab {__version__}, adapt",
        "features": list(sources),
        "scenes": [{"name": Path(one.path).name, "shape": list(one.shape)} for one in scenes],
        "labels": rule.facts(),
        "polygons": len(firsts),
        "polygons_by_class": np.bincount(cells.label[firsts]).tolist(),
        "labelled_cells": len(cells),
        "seed": seed,
    }


def _say_nothing(stage: str, done: int, total: int) -> None:
    """Report to nobody."""
