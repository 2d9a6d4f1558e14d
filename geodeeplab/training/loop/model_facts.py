"""The contract of a network that was trained: all that its file has to say."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from geodeeplab.evaluation import f1, precision, recall
from geodeeplab.models import Contract, SegmentationNetwork
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.calibrating import Calibration
from geodeeplab.training.loop.tally import BOUNDARY_PX, Tally, or_none


def make_contract(
    network: SegmentationNetwork,
    data: TrainingData,
    *,
    name: str,
    licence: str,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Contract:
    """Put a contract together; tiles are of the chips' size, which is what the network has seen.

    Raises:
        ModelError: if the parts do not agree.
    """
    return Contract(
        name=name,
        architecture=network.architecture,
        classes=data.classes,
        bands=data.bands,
        dtype=data.dtype,
        value_range=data.value_range,
        gsd_m=data.gsd_m,
        tile_size=data.chip_size,
        overlap=data.chip_size // 4,
        instances=data.instances,
        licence=licence,
        provenance=provenance,
        metrics=metrics,
    )


def validation_metrics(tally: Tally, calibration: Calibration | None, data: TrainingData) -> dict[str, Any]:
    """Give the scores of the validation chips, with what they were measured on; unknown ones are None.

    The errors of calibration are those on the pixels that the temperature was fitted to.
    """
    names = [item.name for item in data.classes]
    contours = {"boundary_f1": tally.boundary_f1} if data.instances else {}
    return {
        "validation": {
            "measured_on": f"{len(data.val)} validation chips of {data.chip_size} px, none of which was trained on; "
            f"{int(tally.confusion.sum())} labelled pixels; the epoch was chosen by them",
            "miou": tally.miou,
            "accuracy": tally.accuracy,
            "iou": dict(zip(names, tally.iou, strict=True)),
            "boundary_iou": dict(zip(names, tally.boundary_iou_by_class, strict=True)),
            "boundary_px": BOUNDARY_PX,
            "confusion": tally.confusion.tolist(),
            "ece": None if calibration is None else calibration.ece,
            "ece_before_temperature": None if calibration is None else calibration.ece_before,
            **contours,
        }
    }


def class_table(tally: Tally) -> dict[str, Sequence[float | None]]:
    """Give precision, recall, F1, IoU and boundary IoU of each class; None where it never occurs."""
    counts = tally.confusion
    return {
        "precision": or_none(precision(counts)),
        "recall": or_none(recall(counts)),
        "f1": or_none(f1(counts)),
        "iou": tally.iou,
        "boundary_iou": tally.boundary_iou_by_class,
        "pixels": [int(count) for count in counts.sum(1)],
    }


def versions() -> dict[str, str]:
    """Give the versions of what trains."""
    from geodeeplab import __version__

    return {"geodeeplab": __version__, "torch": torch.__version__}
