"""Small cells for the tests of this folder."""

from collections.abc import Sequence

import numpy as np

from geodeeplab.adaptation.samples import LabelledCells


def labelled(polygons: Sequence[tuple[int, int, int, int]], *, scene: Sequence[int] | None = None) -> LabelledCells:
    """Give cells of polygons, each a class, the row and column of its first cell, and its number of cells in a row."""
    counts = [count for *_, count in polygons]
    repeated = [np.repeat([one[i] for one in polygons], counts).astype(np.int64) for i in range(3)]
    along = np.concatenate([2 * np.arange(count) for count in counts])
    return LabelledCells(
        features=np.eye(max(one[0] for one in polygons) + 1, dtype=np.float32)[repeated[0]],
        scene=np.repeat(np.zeros(len(counts), int) if scene is None else scene, counts).astype(np.int64),
        row=repeated[1],
        col=repeated[2] + along,
        label=repeated[0],
        polygon=np.repeat(np.arange(len(counts)), counts),
    )
