"""`adapt`: a few polygons of a scene into a model of it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geodeeplab.adaptation.adaptation import METRIC, Adaptation
from geodeeplab.adaptation.cache import FeatureCache, cache_folder
from geodeeplab.adaptation.cells import SceneLabels
from geodeeplab.adaptation.encoders import BaseModel, build_untrained, choose_base
from geodeeplab.adaptation.gathering import OpenedScenes, gather_cells
from geodeeplab.adaptation.learning import Progress, learn
from geodeeplab.adaptation.normalising import BandFacts, measure_bands
from geodeeplab.adaptation.samples import LabelledCells
from geodeeplab.errors import OptionError, SceneError
from geodeeplab.models import Contract, Model, ModelClass
from geodeeplab.pipeline.crop import area_of, choose_crop
from geodeeplab.pipeline.fit import sample_pixels
from geodeeplab.pipeline.gsd import ground_of
from geodeeplab.pipeline.outputs import OutputPath, model_paths
from geodeeplab.pipeline.plan import open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import (
    AoiLike,
    Grid,
    MaskLike,
    Scene,
    SceneLike,
    local_files_only,
    mask_rasters,
    open_scene,
    paths_in,
    to_aoi,
    with_mask,
)
from geodeeplab.raster.classes import some_color
from geodeeplab.raster.polygons.burn import Overlap
from geodeeplab.tiling import Shard
from geodeeplab.training.scenes.class_table import ClassesLike, ClassMapping
from geodeeplab.training.scenes.labelled_raster import LabelReader
from geodeeplab.training.scenes.labels import LabelRule, LabelsLike
from geodeeplab.training.scenes.open_labelled import labels_of_scenes, list_scenes, open_labels

TILE_SIZE, OVERLAP = 512, 64
"""Pixels; what lies in the overlap is computed twice."""
COARSE_M = 5.0
"""From this pixel size on scenes are read at half of it: things are a pixel or two wide, and a cell has two by two."""


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
    mask: MaskLike | None = None,
    aoi: AoiLike | None = None,
    crop: bool | None = None,
    on_overlap: Overlap = "last",
    all_touched: bool = False,
    layer: str | None = None,
    labels_encoding: str | None = None,
    model: BaseModel = "auto",
    bands: Sequence[str | int] | None = None,
    gsd_m: float | Literal["native"] | None = None,
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
        mask: what hides pixels, as clouds, see `segment`: no polygon tells anything of them, and maps leave them out.
        aoi: the area that is to be mapped. Where it is cropped to, the ground that statistics, principal components and
            the report stand for is that around it, and not all of the scene; polygons outside of it count, too.
        crop: see `segment`.
        on_overlap: where polygons overlap, the later one counts ("last"), the smaller one, or none ("ignore").
        all_touched: polygons cover every pixel that they touch, not only those whose centre they hold.
        layer: name of the layer, in vector files of several.
        labels_encoding: of the text in a vector file that does not say it, or says it wrongly.
        model: the model to adapt: a bundled one's name, a GeoDeepLab model file or a loaded model, adapted before or
            not. `auto`: `landcover-aerial` where the scene has 8-bit red, green and blue. None: features of ImageNet
            and of the colours alone.
        bands: names or 1-based numbers; by default all but alpha. Red, green and blue go through the networks, all
            count by their colours.
        gsd_m: ground sample distance that the model sees, in metres, or `native` for the scene's own; by default that,
            and half of it where pixels have 5 m or more: things are a pixel or two wide there.
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
        progress: called with the stage (features, head, report), what is done and what there is in all; it may raise
            to cancel.
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
        mask=mask,
        local_only=local_only,
    )
    with ExitStack() as stack:
        stack.enter_context(local_files_only(local_only))
        opened = [_open(one, bands, mask, stack) for one in scene_list]
        blocks = [_block(one, aoi, crop) for one in opened]
        facts = _measure(opened, blocks)
        own_m, seen_m = choose_gsd(
            [ground_of(one.grid, block) for one, block in zip(opened, blocks, strict=True)], gsd_m
        )
        run = partial(run, gsd_m=seen_m or "native")
        label_list, grids = labels_of_scenes(labels, len(opened)), [scene.grid for scene in opened]
        table, readers = open_labels(label_list, rule, grids, grids)
        _check_classes(table.classes, background)
        base = choose_base(facts, model)
        network, model_bands, sources = build_untrained(facts, base, classes=len(table.classes))
        contract = Contract(
            name=name,
            architecture=network.architecture,
            classes=_colored_as(base, table.classes),
            bands=model_bands,
            dtype=facts.dtype,
            value_range=facts.value_range,
            gsd_m=seen_m or own_m,
            tile_size=tile_size,
            overlap=overlap,
            licence=licence,
        )
        untrained = Model(network=network, contract=contract)
        plans = [
            stack.enter_context(open_plan(run(scene=one, model=untrained, aoi=aoi, crop=crop))) for one in scene_list
        ]
        seen = [plan.model_scene.grid for plan in plans]
        if seen != grids:
            _, readers = open_labels(label_list, rule, seen, grids)
        scene_labels = _scene_labels(readers, seen, labelled)
        features = FeatureCache(cache_folder() if cache else None)
        cells, ground = gather_cells(
            OpenedScenes(plans=plans, labels=scene_labels, classes=table.classes),
            network,
            features,
            seed=seed,
            progress=partial(told, "features"),
        )
        provenance = _provenance(rule, opened, cells, sources, seed=seed)
    trees, report = learn(network, cells, ground, table.classes, seed=seed, threads=threads, progress=told)
    contract = replace(contract, provenance=provenance, metrics={METRIC: report.to_dict()})
    return Adaptation(
        model=Model(network=network, contract=contract),
        scenes=tuple(scene_list),
        request=run(scene=scene_list[0]),
        report=report,
        trees=trees,
        cells=cells,
        ground=ground,
        grids=tuple(seen),
        cache=features,
        since=since,
        inputs=tuple([*paths_in(scene_list, labels, labelled, aoi, since, *mask_rasters(mask)), *_base_paths(model)]),
    )


def _scene_labels(readers: Sequence[LabelReader], grids: Sequence[Grid], labelled: AoiLike | None) -> list[SceneLabels]:
    """Give the labels of each scene on the grid that the model sees."""
    areas = [None if labelled is None else to_aoi(labelled, crs=grid.crs) for grid in grids]
    return [
        SceneLabels(number=number, reader=reader, grid=grid, labelled=area)
        for number, (reader, grid, area) in enumerate(zip(readers, grids, areas, strict=True))
    ]


def _colored_as(base: Model | None, classes: Sequence[ModelClass]) -> tuple[ModelClass, ...]:
    """Give classes that nobody has given a colour the one that the model to adapt has for them."""
    known = {} if base is None else {item.name: item.color for item in base.contract.classes}
    found = tuple(
        replace(item, color=known.get(item.name, item.color)) if item.color == some_color(position) else item
        for position, item in enumerate(classes, start=1)
    )
    return found if len({item.color for item in found}) == len(found) else tuple(classes)


def choose_gsd(grids: Sequence[Grid], wanted: float | Literal["native"] | None) -> tuple[float | None, float | None]:
    """Give the mean pixel size of scenes and what they are scaled to, in metres; None: unknown, and not at all."""
    known = [np.mean(grid.gsd_m) for grid in grids if grid.gsd_m is not None]
    mean = float(np.mean(known)) if len(known) == len(grids) else None
    if wanted == "native":
        return mean, None
    if wanted is None and mean is not None and COARSE_M <= mean < 2 * min(known):
        return mean, mean / 2
    return mean, wanted


def _open(scene: SceneLike, bands: Sequence[str | int] | None, mask: MaskLike | None, stack: ExitStack) -> Scene:
    """Open a scene for as long as the stack lives; an open one stays its owner's."""
    if isinstance(scene, Scene):
        return stack.enter_context(with_mask(scene if bands is None else scene.select(list(bands)), mask))
    return stack.enter_context(open_scene(scene, bands=bands, mask=mask))


def _base_paths(model: BaseModel) -> list[OutputPath]:
    """List the files of the model that is adapted."""
    return [] if model is None or model == "auto" else model_paths(model, None)


def _block(scene: Scene, aoi: AoiLike | None, crop: bool | None) -> Shard | None:
    """Give the block of a scene that stands for its ground; None for all of it."""
    area = None if aoi is None else area_of(to_aoi(aoi, crs=scene.crs), scene.grid, path=scene.path)
    chosen = choose_crop(scene.grid, area, crop)
    return None if chosen is None else chosen.extent


def _measure(scenes: Sequence[Scene], blocks: Sequence[Shard | None]) -> BandFacts:
    """Measure the bands of all scenes, each in its block.

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
    samples = [
        sample_pixels(one, within=block, to_take="statistics", or_else="choose another scene")
        for one, block in zip(scenes, blocks, strict=True)
    ]
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
