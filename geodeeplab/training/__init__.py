"""Chips, samplers, augmentation, losses, the training loop."""

from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.chip import IGNORE_INDEX, Chip, ChipSet
from geodeeplab.training.data import TrainingData
from geodeeplab.training.prepare import prepare_data
from geodeeplab.training.scenes.labelled import LabelledPixels, LabelledScene

__all__ = [
    "IGNORE_INDEX",
    "Augmentation",
    "Chip",
    "ChipSet",
    "LabelledPixels",
    "LabelledScene",
    "TrainingData",
    "prepare_data",
]
