"""From a scene's numbers to the network's: rescaling onto the contract's range, then mean and deviation per band."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geodeeplab.models.contract import Contract


class Normalisation(nn.Module):
    """Map pixels of any dtype to the network's input; invalid pixels become 0, the mean of training."""

    def __init__(self, contract: Contract, *, rescale: Sequence[tuple[float, float]] | None = None) -> None:
        """Take the contract and, for scenes of another data type, each band's (low, high) to map onto its range."""
        super().__init__()
        low, high = contract.value_range
        pairs = list(rescale) if rescale is not None else [(low, high)] * len(contract.bands)
        gain = [(high - low) / (b - a) for a, b in pairs]
        self.gain = _per_band(gain)
        self.offset = _per_band([low - a * g for (a, _), g in zip(pairs, gain, strict=True)])
        self.mean = _per_band([band.mean for band in contract.bands])
        self.std = _per_band([band.std for band in contract.bands])
        self.limits = (low, high) if rescale is not None else None

    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Give images (N, C, H, W) float32 of pixels (N, C, H, W) of any dtype and `valid` (N, H, W)."""
        x = pixels.float()
        if self.limits is not None:
            x = (x * self.gain + self.offset).clamp(*self.limits)
        x = (x - self.mean) / self.std
        return torch.where(valid.unsqueeze(1), x, torch.zeros((), device=x.device))


def _per_band(values: Sequence[float]) -> nn.Buffer:
    return nn.Buffer(torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))
