"""A map in the browser of a scene and of what was made of it: one HTML file, or the output of a notebook's cell."""

import html
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from geodeeplab.maps.web.content import read_content
from geodeeplab.maps.web.inputs import short_name
from geodeeplab.maps.web.layers import MapLayers
from geodeeplab.maps.web.page import build_page, find_basemap
from geodeeplab.raster import LayerLike, SceneLike, atomic_outputs, check_output, output_errors, paths_in

MAP_SUFFIXES = (".html", ".htm")
FILE_BYTES = 25_000_000
"""Most that a file takes."""
NOTEBOOK_BYTES = 5_000_000
"""Most that the output of a notebook's cell takes."""
NOTEBOOK_SIZE = 1024
"""Pixels of the longer side of its pictures."""
ESCAPES_BYTES = 100_000
"""What a page grows by as an attribute of its frame."""
FRAME_HEIGHT_PX = 560


class Map:
    """A map of a scene, labels, confidence, polygons and a truth, or of two dates: any of them, in any CRS.

    A notebook shows it; `save` writes one HTML file that opens by a double click, without a connection.
    """

    def __init__(
        self,
        scene: SceneLike | None = None,
        *,
        before: SceneLike | None = None,
        after: SceneLike | None = None,
        are_labels: bool | None = None,
        labels: SceneLike | None = None,
        confidence: SceneLike | None = None,
        polygons: LayerLike | None = None,
        truth: SceneLike | LayerLike | None = None,
        class_field: str | None = None,
        truth_field: str | None = None,
        draw: Sequence[str] = (),
        suggestions: LayerLike | None = None,
        basemap: str | None = None,
        title: str | None = None,
        max_size: int = 2048,
        kept: object = None,
    ) -> None:
        """Say what the map shows; nothing is read before it is shown or saved.

        Args:
            scene: the scene; the map lies where it does, else where the first of the others does, which also holds
                where that has less than 1 % of the scene's ground.
            before: the earlier of two dates, a scene or a label raster: a line is dragged between both, under the
                outlines of polygons.
            after: the later one.
            are_labels: whether both are label rasters; by default those are whose numbers have names or colours.
            labels: a label raster.
            confidence: a raster of confidence in per cent, shown as a heat map.
            polygons: polygons; a click on one shows its attributes.
            truth: what is true, as a label raster or as polygons, whose outlines are shown.
            class_field: field of the polygons with their class; by default `class_name`, if there is one.
            truth_field: the same of the truth's polygons.
            draw: names of classes: polygons of them can be drawn on the map, and saved as a GeoJSON file that `adapt`
                and `train` read.
            suggestions: polygons where to draw, from `Adaptation.suggest`, to be ticked off.
            basemap: `osm` or `satellite`, whose tiles the browser then asks for; by default it asks for nothing.
            title: what the page is called.
            max_size: pixels of the longer side of the pictures.
            kept: whatever has to live as long as the map, such as the temporary folder of its files.

        Raises:
            OptionError: nothing to show, an unknown basemap, or two classes of one name.
        """
        draw = tuple(one.strip() for one in draw)
        self.layers = MapLayers(
            scene=scene,
            before=before,
            after=after,
            are_labels=are_labels,
            labels=labels,
            confidence=confidence,
            polygons=polygons,
            truth=truth,
            class_field=class_field,
            truth_field=truth_field,
            draw=draw,
            suggestions=suggestions,
        )
        self.basemap = find_basemap(basemap)
        self.max_size = max_size
        self._kept = kept
        shown = (scene, polygons, labels, confidence, truth, before)
        self.title = title or next((name for name in map(short_name, shown) if name), "Map")

    def to_html(self, *, max_size: int | None = None, max_bytes: int = FILE_BYTES) -> str:
        """Give the page.

        Args:
            max_size: pixels of the longer side of the pictures; by default the map's.
            max_bytes: of the page; pictures get smaller and polygons simpler until it fits.

        Raises:
            OptionError, SceneError: a layer cannot be read, has no polygons, lies elsewhere or does not fit.
        """
        return self._page(max_size=max_size or self.max_size, max_bytes=max_bytes, skip_large=False)

    def save(self, dst_path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the map into one HTML file of at most 25 MB.

        Raises:
            OptionError, OutputError: it cannot be written there.
            SceneError: see `to_html`.
        """
        one = self.layers
        inputs = paths_in(*one.rasters(), one.polygons, one.suggestions)
        path = check_output(dst_path, suffixes=MAP_SUFFIXES, overwrite=overwrite, inputs=inputs)
        page = self.to_html().encode()
        with atomic_outputs([path], overwrite=overwrite) as temporary, output_errors(path):
            temporary[path].write_bytes(page)
        return path

    def _repr_html_(self) -> str:
        """Give the page within a frame for a notebook, which keeps its scripts apart from the notebook's."""
        size = min(self.max_size, NOTEBOOK_SIZE)
        page = self._page(max_size=size, max_bytes=NOTEBOOK_BYTES - ESCAPES_BYTES, skip_large=True)
        return (
            f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts allow-downloads allow-popups" loading="lazy" '
            f'title="{html.escape(self.title)}" style="width: 100%; height: {FRAME_HEIGHT_PX}px; border: 0"></iframe>'
        )

    def _page(self, *, max_size: int, max_bytes: int, skip_large: bool) -> str:
        content = read_content(
            self.layers,
            title=self.title,
            basemap=self.basemap,
            max_size=max_size,
            max_bytes=max_bytes,
            skip_large=skip_large,
        )
        return build_page(content, title=self.title, basemap=self.basemap)
