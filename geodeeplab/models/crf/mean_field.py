"""Mean field: the distributions of single pixels that come nearest to the CRF's own."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled


class MessageKernel(Protocol):
    """What passes messages between all pixels."""

    def add_messages(self, probs: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Add what the pixels with these probs (H, W, K) tell each other to the scores (H, W, K), in place."""
        ...


def mean_field(
    logits: NDArray[np.floating], kernels: Sequence[MessageKernel], *, iterations: int
) -> NDArray[np.float32]:
    """Give the log-probabilities (K, H, W) of logits (K, H, W) after some steps of message passing.

    With Potts compatibility a pixel's message to all others speaks for its own class, so messages are added. All pixels
    are updated at once, starting from the softmax of the logits (Krähenbühl, Koltun 2011, algorithm 1).
    """
    unary = np.ascontiguousarray(logits.transpose(1, 2, 0), dtype=np.float32)  # (H, W, K)
    probs, scores = np.empty_like(unary), unary.copy()
    for _ in range(iterations):
        softmax(scores, probs)
        scores[...] = unary
        for kernel in kernels:
            kernel.add_messages(probs, scores)
    log_softmax(scores)
    return np.ascontiguousarray(scores.transpose(2, 0, 1))


@compiled
def softmax(scores: NDArray[np.float32], probs: NDArray[np.float32]) -> None:
    """Write the softmax over the last axis of scores (H, W, K) into probs."""
    height, width, classes = scores.shape
    for row in range(height):
        for col in range(width):
            top, total = scores[row, col, 0], np.float32(0)
            for k in range(1, classes):
                top = max(top, scores[row, col, k])
            for k in range(classes):
                probs[row, col, k] = math.exp(scores[row, col, k] - top)
                total += probs[row, col, k]
            for k in range(classes):
                probs[row, col, k] /= total


@compiled
def log_softmax(scores: NDArray[np.float32]) -> None:
    """Replace scores (H, W, K) by their log-softmax over the last axis."""
    height, width, classes = scores.shape
    for row in range(height):
        for col in range(width):
            top, total = scores[row, col, 0], np.float32(0)
            for k in range(1, classes):
                top = max(top, scores[row, col, k])
            for k in range(classes):
                total += math.exp(scores[row, col, k] - top)
            for k in range(classes):
                scores[row, col, k] -= top + math.log(total)
