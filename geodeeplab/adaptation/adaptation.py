"""What `adapt` gives back: a model of the scenes, its report, and what can be done with both."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from geodeeplab.adaptation.cache import FeatureCache
from geodeeplab.adaptation.head import Trees, head_probabilities
from geodeeplab.adaptation.recall import recalling
from geodeeplab.adaptation.report import Report
from geodeeplab.adaptation.samples import Cells, LabelledCells
from geodeeplab.adaptation.suggestion_layer import write_suggestions
from geodeeplab.adaptation.suggestions import SuggestedWindow, choose_windows
from geodeeplab.errors import OptionError
from geodeeplab.models import AdaptedNetwork, Model, load_model, save_model
from geodeeplab.pipeline.executor import Executor
from geodeeplab.pipeline.outputs import OutputPath
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.request import Request
from geodeeplab.pipeline.result import Segmentation
from geodeeplab.pipeline.running import Progress
from geodeeplab.pipeline.segment import segment
from geodeeplab.raster import AoiLike, Grid, Scene, SceneLike, check_not_inputs, paths_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from geodeeplab.maps.web import Map
    from geodeeplab.pipeline.run_options import RunOptions

METRIC = "polygons left out"
"""Under this name a model file has the report among its scores."""
READ_BY = (
    "tile_size",
    "overlap",
    "batch_size",
    "device",
    "precision",
    "threads",
    "bands",
    "mask",
    "gsd_m",
    "local_only",
)
"""What a map of the scenes takes over from how their features were read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Adaptation:
    """A model made from a few polygons, and what they say about it."""

    model: Model
    """The model; `segment` takes it."""
    scenes: tuple[SceneLike, ...]
    """The scenes that it was made from."""
    request: Request = field(repr=False)
    """How they were read; maps of them are made in the same way."""
    report: Report
    """What the polygons alone say about the map; it prints as a table, and says what to draw more of."""
    trees: Trees = field(repr=False)
    """The teacher of the head."""
    cells: LabelledCells = field(repr=False)
    """What the polygons cover, with features."""
    ground: Cells = field(repr=False)
    """Cells that stand for all ground, with features."""
    grids: tuple[Grid, ...] = field(repr=False)
    """Grids of the scenes as the model sees them."""
    cache: FeatureCache = field(repr=False)
    """Where features are kept; maps of the scenes take them from there."""
    since: "Adaptation | str | PathLike[str] | None" = field(default=None, repr=False)
    """The round before."""
    inputs: tuple[OutputPath, ...] = field(default=(), repr=False)
    """Files that it was made from; none of them is written over."""

    @property
    def network(self) -> AdaptedNetwork:
        """The network."""
        return cast(AdaptedNetwork, self.model.network)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the report."""
        return tuple(item.name for item in self.model.contract.classes)

    def segment(
        self,
        polygons: OutputPath | None = None,
        *,
        label_raster: OutputPath | None = None,
        confidence: OutputPath | None = None,
        probabilities: OutputPath | None = None,
        scene: SceneLike | None = None,
        polygon_options: PolygonOptions | None = None,
        executor: Executor | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
        aoi: AoiLike | None = None,
        **options: Any,  # noqa: ANN401 - those of `segment`, which checks them
    ) -> Segmentation:
        """Map the scene: see `geodeeplab.segment`, whose arguments these are.

        Args:
            polygons: polygons to write.
            label_raster: label raster to write.
            confidence: raster of confidence to write.
            probabilities: raster of probabilities to write.
            scene: the scene; by default the one that the model was made from.
            polygon_options: what the polygons look like.
            executor: who computes.
            resume: go on with a run that was cut off.
            overwrite: replace outputs that exist.
            progress: called with pixels done and pixels in all.
            aoi: where labels are wanted.
            options: the others of `segment`; tiles, bands, masks, device and precision are by default those that
                features were read by.

        Raises:
            OptionError: the model was made from several scenes, and none is named; or an output is one of the files
                that the model was made from.
        """
        written = (polygons, label_raster, confidence, probabilities)
        check_not_inputs([one for one in written if one is not None], self.inputs)
        if scene is None:
            if len(self.scenes) > 1:
                raise OptionError(f"the model was made from {len(self.scenes)} scenes: name the one to map, `scene=`")
            scene = self.scenes[0]
        settled = {name: getattr(self.request, name) for name in READ_BY} | options
        with tempfile.TemporaryDirectory(prefix="geodeeplab-") as folder:
            model: Model | Path = self.model
            if executor is not None:  # other processes read it from a file
                model = self.save(Path(folder) / "adapted.safetensors")
            elif not options.get("compiled"):
                model = replace(self.model, network=recalling(self.network, self.cache))
            return segment(
                scene,
                polygons,
                label_raster=label_raster,
                confidence=confidence,
                probabilities=probabilities,
                polygon_options=polygon_options,
                executor=executor,
                resume=resume,
                overwrite=overwrite,
                progress=progress,
                **cast("RunOptions", settled | {"model": model, "aoi": aoi}),
            )

    def suggest(
        self, count: int = 10, dst_path: OutputPath | None = None, *, overwrite: bool = False
    ) -> list[SuggestedWindow]:
        """Choose windows to look at next: where the trees disagree, spread over the ground and over what it looks like.

        Args:
            count: windows, at most.
            dst_path: layer to write them to (.gpkg with a style for QGIS, .parquet, .fgb, .geojson).
            overwrite: replace a file that exists.

        Raises:
            OptionError, OutputError: the layer cannot be written there.
        """
        windows = choose_windows(
            self.ground,
            self.trees.members(self.ground.features),
            shapes=[grid.shape for grid in self.grids],
            drawn=self.cells,
            count=count,
            seed=int(self.model.contract.provenance.get("seed", 0)),
        )
        if dst_path is not None:
            write_suggestions(
                windows,
                dst_path,
                grids=self.grids,
                scenes=[_scene_name(one) for one in self.scenes],
                classes=self.class_names,
                overwrite=overwrite,
                inputs=self.inputs,
            )
        return windows

    def save(self, dst_path: str | PathLike[str]) -> Path:
        """Write a model file, with the frozen networks inside; `segment`, `export` and `adapt` take it.

        Raises:
            OptionError: it is one of the files that the model was made from.
            OutputError: it cannot be written.
        """
        check_not_inputs([dst_path], self.inputs)
        save_model(self.network, self.model.contract, dst_path)
        return Path(dst_path)

    def changes(self) -> str:
        """Say what differs from the round before: the report, and the share of the ground with another class.

        Raises:
            OptionError: there was none; `since` names it.
            ModelError: the file of the round before is not an adapted model's.
        """
        if self.since is None:
            raise OptionError("this is the first round: pass `since=`, the adaptation or the model file before it")
        before = self.since.model if isinstance(self.since, Adaptation) else load_model(self.since)
        report = before.contract.metrics.get(METRIC)
        told = [] if report is None else [self.report.changes(Report.from_dict(cast(Mapping[str, Any], report)))]
        share = self._relabelled(before)
        if share is not None:
            told.insert(0, f"{share:.1%} of the ground has another class than before")
        return "\n".join(told)

    def show(self, *, max_size: int = 1024) -> "Figure":
        """Draw scene, map and confidence of the first scene side by side, with the polygons' outlines.

        Raises:
            OptionError: matplotlib is not installed.
        """
        from geodeeplab.adaptation.showing import draw_adaptation

        return draw_adaptation(self, max_size=max_size)

    def explore(self) -> "Map":
        """Map the first scene, and show scene, labels, confidence and polygons in the browser.

        The files of the map are kept as long as it is, in a folder of their own; `save` writes it into one file.
        """
        from geodeeplab.maps.web import Map

        scene, folder = self.scenes[0], tempfile.TemporaryDirectory(prefix="geodeeplab-")
        made = self.segment(
            Path(folder.name) / "polygons.gpkg",
            label_raster=Path(folder.name) / "labels.tif",
            confidence=Path(folder.name) / "confidence.tif",
            scene=scene,
        )
        return Map(
            None if isinstance(scene, Scene) else scene,
            labels=made.label_raster_path,
            confidence=made.confidence_path,
            polygons=made.polygons_path,
            title=_scene_name(scene),
            kept=folder,
        )

    def _repr_html_(self) -> str:
        """Give the report for a notebook, and an overview of the first scene, which is not segmented for it."""
        from geodeeplab.adaptation.overview import overview_html

        return overview_html(self)

    def _relabelled(self, before: Model) -> float | None:
        """Give the share of the ground that a model before labels otherwise; None where it has other features."""
        network = before.network
        if not isinstance(network, AdaptedNetwork):
            return None
        own, theirs = self.network.state_dict(), network.state_dict()
        frozen = [key for key in own if not key.startswith(("head.", "centre", "scale"))]
        if any(key not in theirs or not torch.equal(own[key], theirs[key]) for key in frozen):
            return None
        names = [np.array([item.name for item in one.contract.classes]) for one in (self.model, before)]
        now, then = (
            some[head_probabilities(one, self.ground.features).argmax(axis=1)]
            for some, one in zip(names, (self.network, network), strict=True)
        )
        return float((now != then).mean())

    def __repr__(self) -> str:
        names = ", ".join(fspath(one) if isinstance(one, str | PathLike) else type(one).__name__ for one in self.scenes)
        return f"Adaptation of {names}\n{self.report}"


def _scene_name(scene: SceneLike) -> str:
    """Name a scene in a layer: by its first file, or its id."""
    if isinstance(scene, Mapping):
        return str(scene.get("id", "scene"))
    paths = paths_in(scene)
    return Path(fspath(paths[0])).name if paths else "scene"
