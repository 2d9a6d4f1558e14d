"""The fully connected CRF's parameters, and refining with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError

WEIGHT, DEVIATION = (0.0, 1e3), (1e-2, 1e6)
RANGES = {"w1": WEIGHT, "sxy": DEVIATION, "srgb": DEVIATION, "w2": WEIGHT, "sg": DEVIATION, "iterations": (0, 1000)}
"""Least and greatest value of each parameter; beyond them float32 does not suffice."""


@dataclass(frozen=True, kw_only=True)
class DenseCRF:
    """The fully connected CRF with two Gaussian kernels.

    Energy of labels x: E(x) = Σᵢ −log Pᵢ(xᵢ) + Σᵢ<ⱼ [xᵢ ≠ xⱼ] (w1 · exp(−|pᵢ−pⱼ|²/2sxy² − |Iᵢ−Iⱼ|²/2srgb²)
    + w2 · exp(−|pᵢ−pⱼ|²/2sg²)), with positions p in pixels and colours I in display units, 0 to 255.

    The defaults are those of the public DeepLabV2 reproductions for ResNet-101. V1 fixes w2 = 3 and sg = 3 and
    searches w1 in 5–10, sxy in 50–100 and srgb in 3–10; V2 searches w1 in 3–6, sxy in 30–100 and srgb in 3–6.

    Source: Krähenbühl, Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS 2011);
    Chen et al., "DeepLab" (arXiv 1412.7062, section 4; arXiv 1606.00915, section 3.3, equations 2 and 3).
    """

    w1: float = 4.0
    """Weight of the bilateral kernel, which joins pixels that are near and alike; 0 leaves it out."""
    sxy: float = 67.0
    """Its deviation in space, in pixels (σα)."""
    srgb: float = 3.0
    """Its deviation in colour, in display units (σβ)."""
    w2: float = 3.0
    """Weight of the smoothness kernel, which joins pixels that are near; 0 leaves it out."""
    sg: float = 1.0
    """Its deviation in space, in pixels (σγ)."""
    iterations: int = 10
    """Steps of mean field."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if one is out of its range, or the iterations are no whole number.
        """
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise OptionError(
                    f"{name} of the CRF lies within {low:g} and {high:g}, not {getattr(self, name):g}: "
                    f"choose e.g. {getattr(type(self), name):g}"
                )
        if self.iterations != int(self.iterations):
            raise OptionError(f"the CRF runs a whole number of iterations, not {self.iterations:g}: choose e.g. 10")

    def refine(
        self, logits: NDArray[np.floating], guide: NDArray[np.number], valid: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Give refined log-probabilities (K, H, W).

        The probabilities of the energy are the softmax of the logits, not clipped. Runs on one thread without the GIL,
        to the same bits every time.

        Args:
            logits: (K, H, W), scores of the classes; log-probabilities will do.
            guide: (G, H, W), G channels in display units, as `Guide` gives them.
            valid: (H, W), True where there is data. Invalid pixels neither send nor receive messages: they keep the
                log-softmax of their logits. None: all are valid.

        Raises:
            OptionError: if the shapes do not go together, or the guide has values that are not finite.
        """
        from geodeeplab.models.crf.kernels import BilateralKernel, SpatialKernel
        from geodeeplab.models.crf.mean_field import mean_field

        valid = np.ones(logits.shape[1:], bool) if valid is None else valid
        if not logits.shape[1:] == guide.shape[1:] == valid.shape:
            raise OptionError(
                f"logits, guide and valid of a CRF share height and width, not {logits.shape}, {guide.shape} and "
                f"{valid.shape}: cut them alike"
            )
        if not np.isfinite(guide[:, valid]).all():
            raise OptionError("the guide of a CRF is finite wherever pixels are valid: mark the others as invalid")
        kernels: list[BilateralKernel | SpatialKernel] = []
        if self.w1:
            kernels.append(BilateralKernel(guide, valid, weight=self.w1, sxy=self.sxy, srgb=self.srgb))
        if self.w2:
            kernels.append(SpatialKernel(valid, weight=self.w2, sigma=self.sg))
        return mean_field(logits, kernels, iterations=int(self.iterations))
