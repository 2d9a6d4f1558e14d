"""Runs a network over the tiles of a scene and blends the logits."""

from geodeeplab.inference.blend import BLENDS, RollingBand, ramp
from geodeeplab.inference.device import Device, pick_device
from geodeeplab.inference.engine import CONFIDENCE_NODATA, Engine, FinishedRows, RunFacts
from geodeeplab.inference.refine import CRFRefiner
from geodeeplab.inference.stages import Stage
from geodeeplab.inference.tiles import TileBatch, iter_batches

__all__ = [
    "BLENDS",
    "CONFIDENCE_NODATA",
    "CRFRefiner",
    "Device",
    "Engine",
    "FinishedRows",
    "RollingBand",
    "RunFacts",
    "Stage",
    "TileBatch",
    "iter_batches",
    "pick_device",
    "ramp",
]
