"""From blended logits to what is written: labels, confidence, probabilities, boundaries."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodeeplab.errors import OptionError

NODATA_LABEL = 0
CONFIDENCE_NODATA = 255
"""Also of probabilities as uint8; as float16 they are NaN."""
BOUNDARY_SCALE = 255
"""Of the probability of a boundary as uint8, which has no value for nodata: labels say where there is none."""
PROBABILITY_DTYPES = ("uint8", "float16")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a run gives of each pixel's logits.

    The outputs are `labels` (uint8, 0 where there is no data), `confidence` (uint8, 100 × the probability of the most
    likely class), `probabilities` (one band a class, 100 × as uint8, or as float16) and `boundary` (uint8, 255 × the
    probability that the pixel lies on the boundary of an object, 0 where there is no data).
    """

    class_ids: tuple[int, ...]
    """The label of each of the K channels, 1 to 255."""
    with_confidence: bool = False
    """Give the confidence."""
    probabilities: str | None = None
    """Give all probabilities, as `uint8` or `float16`."""
    with_boundary: bool = False
    """Give the boundary, whose logit follows those of the K classes. Law: no other output changes by it."""
    kept: tuple[int, ...] | None = None
    """The labels that are wanted; None keeps all."""
    min_confidence: float = 0.0
    """The least probability, 0 to 1, with which a label is given."""
    other: int = NODATA_LABEL
    """The label of pixels whose class is not kept, or not certain enough."""
    temperature: float = 1.0
    """What logits are divided by before they become probabilities; above 0. No most likely class changes by it."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if the least probability is not within 0 to 1, or the dtype of probabilities is unknown.
        """
        if not 0 <= self.min_confidence <= 1:
            raise OptionError(
                f"the least confidence is a probability from 0 to 1, not {self.min_confidence:g}: try 0.5"
            )
        if self.probabilities not in (None, *PROBABILITY_DTYPES):
            raise OptionError(
                f"probabilities are written as {' or '.join(PROBABILITY_DTYPES)}, not {self.probabilities!r}"
            )

    @property
    def layers(self) -> dict[str, tuple[str, int]]:
        """Data type and number of bands of each output."""
        layers = {"labels": ("uint8", 1)}
        if self.with_confidence:
            layers["confidence"] = ("uint8", 1)
        if self.probabilities is not None:
            layers["probabilities"] = (self.probabilities, len(self.class_ids))
        if self.with_boundary:
            layers["boundary"] = ("uint8", 1)
        return layers

    @property
    def channels(self) -> int:
        """Number of logits of a pixel: K, or K + 1."""
        return len(self.class_ids) + self.with_boundary

    def table(self, device: torch.device | str = "cpu") -> Tensor:
        """Give the label (K,), uint8, of each channel; on a GPU the host waits for it, so once a run is enough."""
        labels = [label if self.kept is None or label in self.kept else self.other for label in self.class_ids]
        return torch.tensor(labels, dtype=torch.uint8, device=device)

    def __call__(self, logits: Tensor, wanted: Tensor, table: Tensor | None = None) -> dict[str, Tensor]:
        """Give the outputs, (..., h, w) or (..., K, h, w), each pixel's by itself; of equals the first class counts.

        Args:
            logits: (..., K, h, w) float32, or (..., K + 1, h, w) with the boundary's.
            wanted: (..., h, w), True where a label is wanted.
            table: that of `table`, where the logits are; made here by default.
        """
        boundary: Tensor | None = None
        if self.with_boundary:
            logits, boundary = logits[..., :-1, :, :], logits[..., -1, :, :]
        best, channels = logits.max(-3)  # one kernel for all classes; of equals the first
        labels = (self.table(logits.device) if table is None else table).take(channels)
        out = {"labels": labels}
        if self.with_confidence or self.min_confidence > 0 or self.probabilities:
            shares = self._shares(logits - best.unsqueeze(-3))
            confidence = 1 / shares.sum(-3)
            if self.min_confidence > 0:
                labels.masked_fill_(confidence < self.min_confidence, self.other)
            if self.with_confidence:
                out["confidence"] = (100 * confidence).round().to(torch.uint8)
                out["confidence"].masked_fill_(~wanted, CONFIDENCE_NODATA)
            if self.probabilities:
                out["probabilities"] = self._probabilities(shares * confidence.unsqueeze(-3), wanted.unsqueeze(-3))
        labels.masked_fill_(~wanted, NODATA_LABEL)
        if boundary is not None:
            out["boundary"] = (BOUNDARY_SCALE * boundary.sigmoid()).round().to(torch.uint8).masked_fill_(~wanted, 0)
        return out

    def fill(self, layer: str) -> float:
        """Give the value of pixels without data."""
        if layer == "probabilities" and self.probabilities == "float16":
            return float("nan")
        return NODATA_LABEL if layer in ("labels", "boundary") else CONFIDENCE_NODATA

    def _shares(self, behind: Tensor) -> Tensor:
        """Give what each probability is of the largest, of logits less the largest; in place."""
        return (behind if self.temperature == 1 else behind.div_(self.temperature)).exp_()

    def _probabilities(self, probs: Tensor, wanted: Tensor) -> Tensor:
        as_integers = self.probabilities == "uint8"
        probs = (100 * probs).round().to(torch.uint8) if as_integers else probs.half()
        return probs.masked_fill_(~wanted, self.fill("probabilities"))
