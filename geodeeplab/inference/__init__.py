"""Runs a network over the tiles of a scene and blends the logits."""

from geodeeplab.inference.augment import TRANSFORMS, average, check_tta
from geodeeplab.inference.blend import BLENDS, RollingBand, ramp
from geodeeplab.inference.decision import CONFIDENCE_NODATA, NODATA_LABEL, Decision
from geodeeplab.inference.device import Device, pick_device
from geodeeplab.inference.engine import Engine, FinishedRows, RunFacts
from geodeeplab.inference.forward import Forward
from geodeeplab.inference.refine import CRFRefiner
from geodeeplab.inference.tiles import TileBatch, Wanted, iter_batches

__all__ = [
    "BLENDS",
    "CONFIDENCE_NODATA",
    "NODATA_LABEL",
    "TRANSFORMS",
    "CRFRefiner",
    "Decision",
    "Device",
    "Engine",
    "FinishedRows",
    "Forward",
    "RollingBand",
    "RunFacts",
    "TileBatch",
    "Wanted",
    "average",
    "check_tta",
    "iter_batches",
    "pick_device",
    "ramp",
]
