"""An evaluation as a page with figures."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geodeeplab.errors import OptionError
from geodeeplab.maps.report import Page, ReliabilityBins, write_report
from geodeeplab.pipeline.evaluating.table import length, median, occurs, p95, scored, share

if TYPE_CHECKING:
    from geodeeplab.pipeline.evaluating.result import Evaluation


def save_report(found: "Evaluation", dst_path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Draw an evaluation into a PNG, see `Evaluation.save_report`."""
    return write_report(page(found), dst_path, overwrite=overwrite, inputs=[found.labels, found.truth])


def page(found: "Evaluation") -> Page:
    """Choose what stands on the page: the classes that occur.

    Raises:
        OptionError: only objects were compared.
    """
    if found.counts is None or found.overview is None:
        raise OptionError("a report shows pixels, and only objects were compared: give a label raster, or a grid")
    shown = [i for i in range(len(found.classes)) if occurs(found, i)]
    compact = np.full(256, 255, dtype=np.uint8)
    compact[shown] = np.arange(len(shown))
    one = found.calibration
    return Page(
        title="How good are these labels?",
        subtitle=f"{Path(found.labels).name} against {Path(found.truth).name}: {found.counts.sum():,} px with a truth",
        headline=_headline(found),
        names=[found.classes[i].name for i in shown],
        colors=[found.classes[i].color for i in shown],
        counts=found.counts[np.ix_(shown, shown)],
        scores={
            "IoU": found.iou[shown],
            "precision": found.precision[shown],
            "recall": found.recall[shown],
            "boundary IoU": found.boundary_iou[shown],
        },
        columns=_columns(found, shown),
        reliability=None
        if one is None
        else ReliabilityBins(edges=one.edges, confidence=one.confidence, accuracy=one.accuracy, counts=one.counts),
        labels=compact[found.overview.labels],
        truth=compact[found.overview.truth],
        wrong=found.overview.wrong,
        notes=_notes(found),
    )


def _headline(found: "Evaluation") -> list[tuple[str, str]]:
    chosen = [
        ("mean IoU", share(found.mean_iou)),
        ("accuracy", share(found.accuracy)),
        (f"mean boundary IoU, {found.distance_px} px", share(found.mean_boundary_iou)),
    ]
    errors = [one.mean for one in found.distances if one.total]
    if errors:
        chosen.append(("mean boundary error", f"{sum(errors) / len(errors):.2f} {found.unit}"))
    if found.objects is not None:
        matched, missed, false = (
            sum(getattr(one, name) for one in found.objects) for name in ("matched", "missed", "false")
        )
        chosen.append(("F1 of all objects", share(2 * matched / max(2 * matched + missed + false, 1))))
    if found.calibration is not None:
        chosen.append(("calibration error (ECE)", share(found.calibration.ece)))
    return chosen


def _columns(found: "Evaluation", shown: Sequence[int]) -> dict[str, list[str]]:
    assert found.counts is not None
    columns = {
        "truth px": [f"{found.counts[i].sum():,}" for i in shown],
        "IoU": [share(found.iou[i]) for i in shown],
        "precision": [share(found.precision[i]) for i in shown],
        "recall": [share(found.recall[i]) for i in shown],
        "F1": [share(found.f1[i]) for i in shown],
        "boundary IoU": [share(found.boundary_iou[i]) for i in shown],
        f"error, mean {found.unit}": [length(found.distances[i].mean) for i in shown],
        "median": [median(found.distances[i]) for i in shown],
        "95 %": [p95(found.distances[i]) for i in shown],
    }
    if found.objects is not None:
        columns["objects F1"] = [share(found.objects[i].f1) for i in shown]
        for name, score in (("PQ", "pq"), ("SQ", "mean_iou"), ("AP", "ap")):
            columns[name] = [share(getattr(found.objects[i], score)) for i in shown]
        columns["matched / missed / false"] = [
            f"{one.matched:,} / {one.missed:,} / {one.false:,}" for one in (found.objects[i] for i in shown)
        ]
    if found.areas_m2 is not None:
        columns["mapped ha"] = [f"{found.areas_m2[i] / 1e4:,.1f}" for i in shown]
    return columns


def _notes(found: "Evaluation") -> list[str]:
    metres = "" if found.gsd_m is None else f" ({found.distance_px * math.sqrt(math.prod(found.gsd_m)):.3g} m)"
    reach = f"{found.distances[0].maximum:.3g} {found.unit}"
    notes = [
        f"Boundary IoU (Cheng et al. 2021): bands of {found.distance_px} px{metres} along the boundaries. "
        f"Boundary error: distance between boundaries both ways, looked for up to {reach}."
    ]
    if found.missed.sum():
        counted = "as wrong" if found.missed_is_wrong else "nowhere"
        notes.append(f"{found.missed.sum():,} px of the truth have no label; they count {counted}.")
    if found.objects is not None:
        unjudged = sum(one.unjudged for one in found.objects)
        notes.append(
            f"Objects match at an IoU above {found.object_iou:g}; {unjudged:,} of the labels where there is no truth "
            "count nowhere. PQ: panoptic quality (Kirillov et al. 2019), SQ · F1; AP: mean over IoUs of 0.5 to 0.95 "
            f"(COCO), {scored(found)}."
        )
    return [*notes, *found.facts.get("notes", [])]
