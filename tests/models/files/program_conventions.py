"""How Deepness runs a network, written anew from its documentation, to see what an exported file gives there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Array = npt.NDArray[Any]


def run_as_deepness(path: Path, image: Array) -> npt.NDArray[np.int64]:
    """Give each pixel's class, counted from 0, of an image (C, H, W) uint8 at the file's resolution.

    Tiles lie from the top left corner; behind the last pixel there is 0. Pixels are divided by 255 and standardised,
    what is below the threshold is 0, the largest channel wins, and of an overlap each tile gets its half.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    keys = session.get_modelmeta().custom_metadata_map
    assert json.loads(keys["model_type"]) == "Segmentor"
    mean, std = (np.array(json.loads(keys[f"standardization_{name}"]), np.float32) for name in ("mean", "std"))
    tile, threshold = int(json.loads(keys["tile_size"])), float(json.loads(keys["seg_thresh"]))
    overlap = int(tile * int(json.loads(keys["tiles_overlap"])) / 100 * 2) // 2
    stride, half = tile - overlap, overlap // 2
    counts = [max(0, -(-(side - tile) // stride)) + 1 for side in image.shape[1:]]
    height, width = ((count - 1) * stride + tile for count in counts)
    padded = np.zeros((len(image), height, width), np.uint8)
    padded[:, : image.shape[1], : image.shape[2]] = image
    classes = np.zeros((height, width), np.int64)
    for row, col in np.ndindex(*counts):
        top, left = row * stride, col * stride
        pixels = np.float32(padded[:, top : top + tile, left : left + tile] / 255)
        images = ((pixels - mean[:, None, None]) / std[:, None, None])[None]
        (scores,) = session.run(None, {session.get_inputs()[0].name: images})
        scores[scores < threshold] = 0
        own_rows = slice(half if row else 0, tile - (half if row + 1 < counts[0] else 0))
        own_cols = slice(half if col else 0, tile - (half if col + 1 < counts[1] else 0))
        part = scores[0].argmax(0)[own_rows, own_cols]
        classes[top + own_rows.start : top + own_rows.stop, left + own_cols.start : left + own_cols.stop] = part
    return classes[: image.shape[1], : image.shape[2]]
