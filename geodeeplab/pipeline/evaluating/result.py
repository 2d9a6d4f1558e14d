"""What `evaluate` gives back: the numbers, as a table, as JSON, and as a page with figures."""

import html
import json
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import GeoDeepLabError
from geodeeplab.evaluation import (
    IOU_THRESHOLDS,
    AreaEstimate,
    Distances,
    ObjectCounts,
    Reliability,
    accuracy,
    boundary_iou,
    f1,
    iou,
    kappa,
    mean_over_classes,
    precision,
    recall,
)
from geodeeplab.pipeline.evaluating.comparison import Overview
from geodeeplab.raster import LabelClass, is_vector

if TYPE_CHECKING:
    from geodeeplab.maps.web import Map

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Labels measured against a truth, for K classes. Scores are NaN where a class does not occur."""

    labels: str
    """The labels' file."""
    truth: str
    """The truth's file."""
    classes: tuple[LabelClass, ...]
    """K classes of the labels, in the order of all arrays."""
    counts: NDArray[np.int64] | None
    """(K, K) confusion matrix in pixels, the truth by row; None where only objects were compared."""
    missed: NDArray[np.int64]
    """(K,) true pixels of each class that have no label."""
    missed_is_wrong: bool
    """Whether these count as wrong; if not, they count nowhere."""
    bands: NDArray[np.int64] | None
    """(2, K) intersection and union of the bands along the boundaries, in pixels."""
    distance_px: int
    """Width of these bands, in pixels."""
    distances: tuple[Distances, ...]
    """K, between the boundaries of labels and truth, in `unit`; empty where only objects were compared."""
    unit: str
    """"m", or "px" where the labels have no CRS in metres or degrees."""
    gsd_m: tuple[float, float] | None
    """Pixel size (x, y) in metres, if known."""
    areas_m2: Floats | None
    """(K,) area with each label, with or without truth; None where nothing says what a metre is."""
    area_estimate: AreaEstimate | None
    """Areas corrected by the truth, where that is a random sample of the labels."""
    objects: tuple[ObjectCounts, ...] | None
    """K, where polygons were compared."""
    object_iou: float
    """An object is matched where its intersection over union is greater."""
    calibration: Reliability | None
    """Confidence against accuracy, where a confidence raster was given."""
    overview: Overview | None
    """Small pictures of labels, truth and errors; not in the JSON."""
    facts: dict[str, Any]
    """What was done: options, notes, seconds."""

    @cached_property
    def iou(self) -> Floats:
        """Intersection over union (K,)."""
        return self._of_pixels(iou)

    @cached_property
    def precision(self) -> Floats:
        """Share of each class's labels that are right (K,)."""
        return self._empty if self.counts is None else precision(self.counts)

    @cached_property
    def recall(self) -> Floats:
        """Share of each class's truth that is found (K,)."""
        return self._of_pixels(recall)

    @cached_property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall (K,)."""
        return self._of_pixels(f1)

    @cached_property
    def boundary_iou(self) -> Floats:
        """Intersection over union of the bands along the boundaries (K,)."""
        return self._empty if self.bands is None else boundary_iou(self.bands)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur."""
        return mean_over_classes(self.iou)

    @property
    def mean_boundary_iou(self) -> float:
        """Mean boundary IoU over the classes that occur."""
        return mean_over_classes(self.boundary_iou)

    @property
    def accuracy(self) -> float:
        """Share of all pixels that are right."""
        return math.nan if self.counts is None else accuracy(self.counts, missed=self._missed)

    @property
    def kappa(self) -> float:
        """Cohen's kappa."""
        return math.nan if self.counts is None else kappa(self.counts)

    @property
    def boundary_error_m(self) -> Floats | None:
        """Mean distance of each class's boundaries in metres (K,); None where nothing says what a metre is."""
        return np.array([one.mean for one in self.distances]) if self.distances and self.unit == "m" else None

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the pictures as what JSON knows; NaN and infinity are None."""
        found: dict[str, Any] = {
            "labels": self.labels,
            "truth": self.truth,
            "classes": [self._of_class(index) for index in range(len(self.classes))],
            "mean_iou": self.mean_iou,
            "mean_f1": mean_over_classes(self.f1),
            "mean_boundary_iou": self.mean_boundary_iou,
            "accuracy": self.accuracy,
            "kappa": self.kappa,
            "confusion": None if self.counts is None else self.counts.tolist(),
            "missed_is_wrong": self.missed_is_wrong,
            "boundary_distance_px": self.distance_px,
            "gsd_m": None if self.gsd_m is None else list(self.gsd_m),
            "area_weighted_accuracy": self._area_weighted_accuracy(),
            "calibration": self._calibration(),
            **self.facts,
        }
        return {key: _jsonable(value) for key, value in found.items()}

    def to_json(self) -> str:
        """Give everything but the pictures as JSON; NaN and infinity are null."""
        return json.dumps(self.to_dict(), indent=2)

    def table(self) -> str:
        """Give the numbers as text for a terminal."""
        from geodeeplab.pipeline.evaluating.table import table

        return table(self)

    def save_report(self, dst_path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Draw one page with tables and figures into a PNG.

        Raises:
            OptionError: matplotlib is missing, or there are no pixels to draw.
            OutputError: the picture cannot be written there.
        """
        from geodeeplab.pipeline.evaluating.report import save_report

        return save_report(self, dst_path, overwrite=overwrite)

    def explore(self) -> "Map":
        """Give a map of labels and truth for the browser; a notebook shows it, `save` writes it."""
        from geodeeplab.maps.web import Map

        are_polygons = is_vector(self.labels)
        return Map(
            labels=None if are_polygons else self.labels,
            polygons=self.labels if are_polygons else None,
            truth=self.truth,
            truth_field=self.facts.get("options", {}).get("class_field"),
        )

    def _repr_html_(self) -> str:
        """Show the table in a notebook, and below it the map of labels and truth, where there is one."""
        table = f"<pre>{html.escape(self.table())}</pre>"
        try:
            return table + self.explore()._repr_html_()
        except GeoDeepLabError:
            return table

    @property
    def _missed(self) -> NDArray[np.int64] | None:
        return self.missed if self.missed_is_wrong else None

    @property
    def _empty(self) -> Floats:
        return np.full(len(self.classes), np.nan)

    def _of_pixels(self, score: Any) -> Floats:  # noqa: ANN401 - one of iou, recall, f1
        return self._empty if self.counts is None else score(self.counts, missed=self._missed)

    def _of_class(self, index: int) -> dict[str, Any]:
        """Give the numbers of one class."""
        one = self.classes[index]
        found: dict[str, Any] = {"id": one.id, "name": one.name}
        if self.counts is not None:
            found |= {
                "truth_pixels": int(self.counts[index].sum()),
                "label_pixels": int(self.counts[:, index].sum()),
                "truth_pixels_without_label": int(self.missed[index]),
            }
            for name in ("iou", "precision", "recall", "f1", "boundary_iou"):
                found[name] = float(getattr(self, name)[index])
            found["boundary_error"] = self._boundary_error(self.distances[index])
        found["area_m2"] = None if self.areas_m2 is None else float(self.areas_m2[index])
        if self.area_estimate is not None:
            found["adjusted_area_m2"] = float(self.area_estimate.adjusted[index])
            found["adjusted_area_margin_m2"] = float(self.area_estimate.margin[index])
        if self.objects is not None:
            found["objects"] = _of_objects(self.objects[index])
        return found

    def _boundary_error(self, one: Distances) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "mean": one.mean,
            "median": one.quantile(0.5),
            "p95": one.quantile(0.95),
            "maximum": one.maximum,
            "share_beyond_maximum": one.share_beyond,
            "pixels": one.total,
        }

    def _area_weighted_accuracy(self) -> dict[str, float] | None:
        one = self.area_estimate
        return None if one is None else {"accuracy": one.accuracy, "margin": one.accuracy_margin}

    def _calibration(self) -> dict[str, Any] | None:
        if self.calibration is None:
            return None
        return {
            "ece": self.calibration.ece,
            "overconfidence": self.calibration.overconfidence,
            "edges": self.calibration.edges.tolist(),
            "pixels": self.calibration.counts.tolist(),
            "confidence": self.calibration.confidence.tolist(),
            "accuracy": self.calibration.accuracy.tolist(),
        }


def _of_objects(one: ObjectCounts) -> dict[str, Any]:
    counts = {name: getattr(one, name) for name in ("matched", "missed", "false", "unjudged")}
    scores = {name: getattr(one, name) for name in ("precision", "recall", "f1", "mean_iou", "pq", "ap", "ap50")}
    by_iou = {f"{iou:g}": ap for iou, ap in zip(IOU_THRESHOLDS, one.average_precisions, strict=False)}
    return counts | scores | {"sq": one.mean_iou, "rq": one.f1, "ap_by_iou": by_iou, "ap_is_scored": one.is_scored}


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - whatever is in a dictionary for JSON
    if isinstance(value, dict):
        return {key: _jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
