"""Refining the logits of single tiles with the CRF, before they are blended."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from geodeeplab.models.crf import DenseCRF, Guide


class CRFRefiner:
    """A dense CRF over the tiles of a batch, one tile a thread; on the CPU.

    Law: the refined logits of a tile depend on nothing but this tile, to the bit.
    """

    def __init__(self, crf: DenseCRF, guide: Guide, *, threads: int = 1) -> None:
        """Take the CRF and the guide, one for all tiles of a scene, and how many tiles are refined at once."""
        self.crf, self.guide, self.threads = crf, guide, threads

    def __call__(self, pixels: np.ndarray, valid: np.ndarray, logits: Tensor) -> Tensor:
        """Give refined log-probabilities (N, K, T, T) where the logits are.

        Args:
            pixels: (N, C, T, T) as the scene holds them.
            valid: (N, T, T), True where there is data; tiles without any stay as they are.
            logits: (N, K, T, T) float32, on any device. Pixels where one is not finite send no message, and stay so.
        """
        with ThreadPoolExecutor(self.threads, thread_name_prefix="crf") as pool:
            refined = list(pool.map(self._refine, pixels, valid, logits.cpu().numpy()))
        return torch.from_numpy(np.stack(refined)).to(logits.device)

    def _refine(self, pixels: np.ndarray, valid: np.ndarray, logits: np.ndarray) -> np.ndarray:
        finite = np.isfinite(logits).all(axis=0)
        valid = valid & finite
        if not valid.any():
            return logits
        if finite.all():
            return self.crf.refine(logits, self.guide(pixels), valid)
        refined = self.crf.refine(np.where(finite, logits, 0), self.guide(pixels), valid)
        return np.where(finite, refined, np.float32(np.nan))
