"""The fully connected CRF of DeepLab V1 and V2: mean field over a permutohedral lattice.

Numba is imported when the first tile is refined, not before.
"""

from geodeeplab.models.crf.dense import DenseCRF
from geodeeplab.models.crf.guide import Guide

__all__ = ["DenseCRF", "Guide"]
