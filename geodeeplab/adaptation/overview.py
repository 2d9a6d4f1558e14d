"""What a notebook shows of an adaptation: the report, and an overview that needs no map of the scene."""

import html
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from geodeeplab.adaptation.head import head_probabilities
from geodeeplab.errors import GeoDeepLabError
from geodeeplab.maps.preview import to_rgb
from geodeeplab.maps.results import to_hex
from geodeeplab.maps.web.frame import reduced_grid
from geodeeplab.maps.web.pictures import as_webp, read_on_grid, rgb_bands
from geodeeplab.raster import Scene, open_scene

if TYPE_CHECKING:
    from geodeeplab.adaptation.adaptation import Adaptation

SIZE = 640
"""Pixels of the longer side."""
DOT, DRAWN = 2, 3
"""Half the side of a square of the ground, and of one that was labelled."""


def overview_html(adaptation: "Adaptation") -> str:
    """Give the report, and a picture of the first scene with what the model says of a sample of its ground.

    The ground's features are there already, so only the picture of the scene is read, and nothing is segmented.
    """
    report = adaptation.report._repr_html_()
    try:
        picture = as_webp(_draw(adaptation), lossless=False).data
    except (GeoDeepLabError, OSError, ValueError):  # a scene that has moved or is closed
        return report
    classes = " ".join(
        f'<span style="background: {to_hex(item.color)}; padding: 0 0.6em; margin: 0 0.3em 0 1em">&nbsp;</span>'
        f"{html.escape(item.name)}"
        for item in adaptation.model.contract.classes
    )
    return (
        f'{report}<img src="{picture}" alt="The scene, with the class of a sample of its ground" '
        f'style="max-width: 100%"><p>{classes}</p><p>Squares: what the model says of a sample of the ground; with a '
        "dark rim: what was drawn. <code>explore()</code> maps the scene and shows it in the browser.</p>"
    )


def _draw(adaptation: "Adaptation") -> npt.NDArray[np.uint8]:
    scene = adaptation.scenes[0]
    with nullcontext(scene) if isinstance(scene, Scene) else open_scene(scene) as opened:
        grid = reduced_grid(opened.grid, SIZE)
        shown = opened.select(rgb_bands(opened))
        picture = Image.fromarray(to_rgb(read_on_grid(shown, grid, resampling="bilinear")))
    draw = ImageDraw.Draw(picture)
    colors = [item.color for item in adaptation.model.contract.classes]
    ground = adaptation.ground.take(adaptation.ground.scene == 0)
    drawn = adaptation.cells.take(adaptation.cells.scene == 0)
    found = head_probabilities(adaptation.network, ground.features).argmax(axis=1)
    height, width = adaptation.grids[0].shape
    scale = picture.width / width, picture.height / height
    black = [(0, 0, 0)] * len(colors)
    rim, squares = (drawn, drawn.label, DRAWN + 1, black), (drawn, drawn.label, DRAWN, colors)
    for cells, classes, half, fills in ((ground, found, DOT, colors), rim, squares):
        for row, col, number in zip(cells.row, cells.col, classes, strict=True):
            x, y = col * scale[0], row * scale[1]
            draw.rectangle((x - half, y - half, x + half, y + half), fill=fills[number])
    return np.asarray(picture)
