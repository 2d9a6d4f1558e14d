"""A figure of an adaptation: the scene with its polygons, the map, and how sure it is."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from geodeeplab.maps.figures import new_figure
from geodeeplab.maps.preview import thumbnail, to_rgb
from geodeeplab.maps.results import to_hex
from geodeeplab.raster import Scene, open_scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from geodeeplab.adaptation.adaptation import Adaptation

PANEL = 5.0
"""Inches of a panel."""


def draw_adaptation(adaptation: "Adaptation", *, max_size: int) -> "Figure":
    """Draw the first scene with the labelled cells, its map, and the confidence."""
    scene = adaptation.scenes[0]
    classes = adaptation.model.contract.classes
    with tempfile.TemporaryDirectory() as folder:
        labels, confidence = Path(folder) / "labels.tif", Path(folder) / "confidence.tif"
        adaptation.segment(label_raster=labels, confidence=confidence, scene=scene)
        with open_scene(labels, allow_palette=True) as opened:
            drawn = thumbnail(opened, max_size).array[0]
        with open_scene(confidence) as opened:
            sure = thumbnail(opened, max_size).array[0].astype(float)
    with nullcontext(scene) if isinstance(scene, Scene) else open_scene(scene) as opened:
        image = to_rgb(thumbnail(opened, max_size))
        step = -(-max(opened.shape) // max_size)
    colors = np.full((256, 3), 255, dtype=np.uint8)
    for item in classes:
        colors[item.id] = item.color
    figure = new_figure(3 * PANEL, PANEL + 0.6)
    left, middle, right = figure.subplots(1, 3)
    left.imshow(image)
    here = adaptation.cells.take(adaptation.cells.scene == 0)
    for number, item in enumerate(classes):
        of_class = here.take(here.label == number)
        left.plot(of_class.col / step, of_class.row / step, ",", color=to_hex(item.color))
    middle.imshow(colors[drawn], interpolation="nearest")
    shown = right.imshow(np.where(sure > 100, np.nan, sure), vmin=0, vmax=100, cmap="viridis")
    figure.colorbar(shown, ax=right, shrink=0.7, label="confidence, %")
    for axis, title in ((left, "polygons"), (middle, "map"), (right, "confidence")):
        axis.set_title(title)
        axis.set_axis_off()
    handles = [Patch(facecolor=to_hex(item.color), edgecolor="black", linewidth=0.5) for item in classes]
    names = [item.name for item in classes]
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(classes), 7), frameon=False)
    return figure
