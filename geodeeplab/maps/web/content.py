"""What is on a map: its layers read, drawn and packed, as a page takes them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from geodeeplab.errors import OptionError
from geodeeplab.maps.web.features import VectorLayer, open_layer
from geodeeplab.maps.web.frame import Frame, frame_of_grid, frame_of_points
from geodeeplab.maps.web.inputs import colors_for, css, opened, read_labels, short_name, shows_labels
from geodeeplab.maps.web.layers import DATES, RASTERS, MapLayers
from geodeeplab.maps.web.packing import EXACT_COUNT, DoesNotFit, NothingToDraw, pack_polygons
from geodeeplab.maps.web.page import Basemap
from geodeeplab.maps.web.pictures import (
    HEAT,
    Picture,
    confidence_picture,
    label_areas,
    label_picture,
    read_on_grid,
    scene_picture,
)
from geodeeplab.raster import LabelClass, Scene, is_vector

OWN_FIELD = "class_name"
"""The field with the class in layers that GeoDeepLab wrote."""
FIXED_BYTES = 350_000
"""What a page without layers takes, and some room."""
PICTURE_SHARE = 0.6
"""Of a page's bytes that pictures may take, where there are polygons too."""
LEAST_SIZE = 256
LEAST_SHARE = 0.01
"""Of the scene's ground: results on less of it, as those of a crop, are shown where they are."""


@dataclass(kw_only=True, eq=False)
class _Page:
    """What has been read so far."""

    frame: Frame
    size: int
    """Pixels of the longer side of pictures."""
    pictures: list[dict[str, Any]] = field(default_factory=list)
    vectors: list[dict[str, Any]] = field(default_factory=list)
    classes: dict[str, LabelClass] = field(default_factory=dict)
    """Classes with their colours, by name."""
    areas: dict[str, float] = field(default_factory=dict)
    are_estimates: bool = False
    dated: set[str] = field(default_factory=set)
    """Classes on the pictures of two dates, which have no areas."""
    notes: list[str] = field(default_factory=list)

    @property
    def picture_bytes(self) -> int:
        """What the pictures take, as text."""
        return sum(len(one["src"]) for one in self.pictures)

    def add_picture(self, kind: str, name: str, picture: Picture, *, is_on: bool, is_sharp: bool = False) -> None:
        """Add a picture of the whole frame."""
        self.pictures.append({"kind": kind, "name": name, "src": picture.data, "isOn": is_on, "isSharp": is_sharp})


def read_content(
    layers: MapLayers, *, title: str, basemap: Basemap | None, max_size: int, max_bytes: int, skip_large: bool = False
) -> dict[str, Any]:
    """Read everything that a map shows.

    Args:
        layers: what.
        title: what the page is called.
        basemap: tiles below.
        max_size: pixels of the longer side of pictures; fewer where they would take too many bytes.
        max_bytes: of the page.
        skip_large: leave polygons out that do not fit, with a note, and refuse none.

    Raises:
        OptionError, SceneError: a layer cannot be read, does not fit, or lies elsewhere.
    """
    with ExitStack() as stack:
        rasters = _open_rasters(layers, stack)
        tables = _open_tables(layers, crs=next((one.crs for one in rasters.values()), None))
        frame = _frame(rasters, tables)
        if basemap is not None and not frame.has_crs:
            raise OptionError("a basemap needs a place on the Earth, and the scene has no CRS: leave `basemap=` out")
        share = PICTURE_SHARE if tables else 1.0
        size = max_size
        while True:
            page = _Page(frame=frame, size=size)
            _draw_rasters(page, layers, rasters)
            if page.picture_bytes <= share * (max_bytes - FIXED_BYTES) or size <= LEAST_SIZE:
                break
            size = max(LEAST_SIZE, int(0.7 * size))
        room = (max_bytes - FIXED_BYTES - page.picture_bytes) // max(1, len(tables))
        for kind, table in tables.items():
            try:
                _pack_table(page, layers, kind, table, max_bytes=room)
            except NothingToDraw:
                if kind == "suggestions":
                    page.notes.append("There are no suggestions where to draw.")
                elif layers.has_dates:
                    page.notes.append("There are no polygons: nothing changed.")
                else:
                    raise
            except DoesNotFit:
                if not skip_large:
                    raise
                page.notes.append(f"Polygons of '{table.name}' do not fit here: save the map to see them.")
    return _content(page, layers, rasters, title=title, basemap=basemap)


def _open_rasters(layers: MapLayers, stack: ExitStack) -> dict[str, Scene]:
    found: dict[str, Scene] = {}
    for kind, given in zip(RASTERS, layers.rasters(), strict=True):
        if given is not None and not (kind == "truth" and is_vector(given)):
            found[kind] = stack.enter_context(opened(given, allow_palette=kind != "scene"))
    return found


def _open_tables(layers: MapLayers, *, crs: Any) -> dict[str, VectorLayer]:  # noqa: ANN401 - rasterio's
    given = {"polygons": layers.polygons, "truth": layers.truth if is_vector(layers.truth) else None}
    given["suggestions"] = layers.suggestions
    return {kind: open_layer(one, crs=crs) for kind, one in given.items() if one is not None}


def _frame(rasters: Mapping[str, Scene], tables: Mapping[str, VectorLayer]) -> Frame:
    """Give the frame of the first layer that has one; of a small part of a scene, that of what was made of it."""
    frames = (frame_of_grid(one.grid, path=one.path) for one in rasters.values())
    first = next(frames, None)
    if first is None:
        table = next(iter(tables.values()))
        frame = _frame_of_table(table)
        if frame is None:
            raise OptionError(f"polygon layer '{table.name}' has no polygons: there is nothing to draw")
        return frame
    if "scene" not in rasters or not first.has_crs:
        return first
    second = next(frames, None)
    if second is None and "polygons" in tables and tables["polygons"].crs is not None:
        second = _frame_of_table(tables["polygons"])
    return first if second is None or _ground(second) >= LEAST_SHARE * _ground(first) else second


def _ground(frame: Frame) -> float:
    left, bottom, right, top = frame.bounds
    return (right - left) * (top - bottom)


def _frame_of_table(table: VectorLayer) -> Frame | None:
    """Give the frame around polygons; None without any."""
    boxes = [shapely.total_bounds(chunk.geometries) for chunk in table.iter_chunks()]
    found = np.array([box for box in boxes if np.isfinite(box).all()])
    if not len(found):
        return None
    left, bottom = found[:, :2].min(axis=0)
    right, top = found[:, 2:].max(axis=0)
    xs, ys = np.meshgrid(np.linspace(left, right, 17), np.linspace(bottom, top, 17))
    return frame_of_points(np.stack([xs.ravel(), ys.ravel()]), table.crs, path=table.name)


def _draw_rasters(page: _Page, layers: MapLayers, rasters: Mapping[str, Scene]) -> None:
    for kind, scene in rasters.items():
        if kind in DATES:
            name = f"{kind.capitalize()}: {short_name(getattr(layers, kind)) or 'array'}"
            if shows_labels(scene) if layers.are_labels is None else layers.are_labels:
                labels, _ = _draw_labels(page, kind, name, scene, is_on=True)
                page.dated |= {one.name for one in labels}
            else:
                page.add_picture(kind, name, scene_picture(scene, page.frame, max_size=page.size), is_on=True)
        elif kind == "scene":
            page.add_picture(kind, "Scene", scene_picture(scene, page.frame, max_size=page.size), is_on=True)
        elif kind == "confidence":
            pixels = read_on_grid(scene, page.frame.reduced(page.size), resampling="bilinear")
            page.add_picture(kind, "Confidence", confidence_picture(pixels), is_on=False)
        else:
            labels, areas = _draw_labels(page, kind, kind.capitalize(), scene, is_on=kind == "labels")
            if kind == "labels":
                page.areas, page.are_estimates = areas, True


def _draw_labels(
    page: _Page, kind: str, name: str, scene: Scene, *, is_on: bool
) -> tuple[list[LabelClass], dict[str, float]]:
    """Draw a label raster; give the classes that are on the picture, and the area of each class by name."""
    labels, classes = read_labels(scene, page.frame, max_size=page.size)
    for item in classes:
        page.classes.setdefault(item.name, item)
    drawn = [LabelClass(id=one.id, name=one.name, color=page.classes[one.name].color) for one in classes]
    page.add_picture(kind, name, label_picture(labels, drawn), is_on=is_on, is_sharp=True)
    there = set(np.unique(labels).tolist())
    areas = label_areas(labels, page.frame, classes)
    return [one for one in classes if one.id in there], {one.name: areas[one.id] for one in classes}


def _pack_table(page: _Page, layers: MapLayers, kind: str, table: VectorLayer, *, max_bytes: int) -> None:
    class_field = {"polygons": layers.class_field, "truth": layers.truth_field}.get(kind)
    if class_field is None and kind != "suggestions" and OWN_FIELD in table.fields:
        class_field = OWN_FIELD
    for item in table.classes if kind != "suggestions" else ():
        page.classes.setdefault(item.name, item)
    packed = pack_polygons(
        table,
        page.frame,
        class_field=class_field,
        class_order=list(page.classes),
        picture_size=page.size,
        max_bytes=max_bytes,
    )
    colors = colors_for(packed.class_names, page.classes.values())
    for number, name in enumerate(packed.class_names if kind != "suggestions" else ()):
        page.classes.setdefault(name, LabelClass(id=number + 1, name=name, color=colors[name]))
    if kind == "polygons":
        page.areas, page.are_estimates = dict(zip(packed.class_names, packed.areas, strict=True)), False
        for one in page.pictures:  # polygons stand for the labels
            one["isOn"] = one["kind"] in ("scene", *DATES)
    shown, count = packed.counts[0], packed.polygon_count
    if shown < count:
        page.notes.append(f"{shown:,} of {count:,} polygons are shown, without the smallest; areas are of all.")
    if packed.tolerance:
        unit = "m" if page.frame.has_crs else "px"
        page.notes.append(
            f"More than {EXACT_COUNT:,} polygons, or too many points: outlines are simplified to "
            f"{packed.tolerance * _ground_scale(page.frame):.2g} {unit}."
        )
    page.vectors.append(
        {
            "kind": kind,
            "name": {"polygons": "Polygons", "truth": "Truth (outlines)", "suggestions": "Suggestions"}[kind],
            "content": packed.content,
            "counts": packed.counts,
            "origin": packed.origin,
            "step": packed.step,
            "classes": [{"name": name, "color": css(colors[name])} for name in packed.class_names],
            "isOutline": kind != "polygons" or layers.has_dates,
        }
    )


def _ground_scale(frame: Frame) -> float:
    """Give metres on the ground for one of the plane."""
    if not frame.has_crs:
        return 1.0
    _, bottom, _, top = frame.bounds
    return float(1 / np.cosh((bottom + top) / 2 / 6_378_137.0))


def _content(
    page: _Page, layers: MapLayers, rasters: Mapping[str, Scene], *, title: str, basemap: Basemap | None
) -> dict[str, Any]:
    drawn = _drawn_classes(layers.draw, page.classes)
    transform = page.frame.grid.transform
    return {
        "title": title,
        "crs": "mercator" if page.frame.has_crs else "pixels",
        "dates": [one["name"] for one in page.pictures if one["kind"] in DATES],
        "bounds": page.frame.bounds,
        "pictures": page.pictures,
        "vectors": page.vectors,
        "legend": [
            {"name": name, "color": css(item.color), "area": page.areas.get(name)}
            for name, item in page.classes.items()
            if not page.areas or name in page.areas or name in page.dated
        ],
        "areaUnit": "m²" if page.frame.has_crs else "px",
        "areasAreEstimates": page.are_estimates,
        "heat": [f"{css(color)} {stop}%" for stop, color in HEAT],
        "notes": page.notes,
        "basemap": None if basemap is None else {"url": basemap.url, "attribution": basemap.attribution,
                                                 "zoom": basemap.zoom},
        "draw": None if not drawn else {
            "classes": drawn,
            "transform": None if page.frame.has_crs else list(transform)[:6],
            "fileName": f"{short_name(layers.scene).rsplit('.', 1)[0] or 'scene'}-polygons.geojson",
        },
    }  # fmt: skip


def _drawn_classes(names: Sequence[str], known: Mapping[str, LabelClass]) -> list[dict[str, str]]:
    colors = colors_for(names, known.values())
    return [{"name": name, "color": css(colors[name])} for name in names]
