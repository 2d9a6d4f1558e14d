"""Chips, samplers, augmentation, losses, the training loop."""

from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.chip import IGNORE_INDEX, Chip, ChipSet

__all__ = ["IGNORE_INDEX", "Augmentation", "Chip", "ChipSet"]
