"""Write GeoJSON (RFC 7946): longitudes and latitudes on WGS 84, one feature a line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OutputError
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.vector.layers.antimeridian import split_at_antimeridian
from geodeeplab.vector.layers.layer import Layer
from geodeeplab.vector.layers.wkb import polygons_of_features
from geodeeplab.vector.trace.batch import PolygonBatch


def write_geojson(slices: Iterable[PolygonBatch], path: Path, layer: Layer) -> None:
    """Write a FeatureCollection; the layer's name and metadata are foreign members of it.

    Coordinates have up to nine decimals, a tenth of a millimetre; equal corners stay equal. Polygons across the
    antimeridian, whose longitudes run on past 180 or -180, are cut there into multipolygons (RFC 7946, section 3.1.9).

    Raises:
        OutputError: The file cannot be written.
    """
    head = {"type": "FeatureCollection", "name": layer.name}
    if layer.metadata:
        head["metadata"] = dict(layer.metadata)  # type: ignore[assignment]
    with output_errors(path):
        file = path.open("wb")
    with file:
        separator = f'{_json(head)[:-1]},"features":[\n'.encode()
        for batch in slices:
            _check_degrees(batch, path)
            for piece in split_at_antimeridian(batch):
                text = b",\n".join(_features(piece, layer))
                with output_errors(path):
                    file.write(separator)
                    file.write(text)
                separator = b",\n"
        with output_errors(path):
            file.write(b"\n]}\n" if separator == b",\n" else separator + b"]}\n")
            file.flush()


def _check_degrees(batch: PolygonBatch, path: Path) -> None:
    """Check that coordinates are longitudes, at most a turn beyond the antimeridian, and latitudes.

    Raises:
        OutputError: They are not.
    """
    if not (np.abs(batch.points) <= (540, 90)).all():
        raise OutputError(
            f"cannot write {path}: coordinates lie beyond 540° of longitude or 90° of latitude: check the raster's CRS"
        )


def _features(batch: PolygonBatch, layer: Layer) -> Iterator[bytes]:
    """Yield each feature as JSON."""
    kind = "Polygon" if batch.feature_offsets is None else "MultiPolygon"
    for properties, coordinates in zip(_properties(batch, layer), _coordinates(batch), strict=True):
        yield b'{"type":"Feature","properties":{%b},"geometry":{"type":"%b","coordinates":%b}}' % (
            properties.encode(),
            kind.encode(),
            coordinates,
        )


def _properties(batch: PolygonBatch, layer: Layer) -> Iterator[str]:
    """Yield the members of each feature's properties."""
    names = [_json(item.name) for item in layer.classes]
    texts = [
        name + "".join(f",{_json(key)}:{_json(one.get(item.id))}" for key, one in layer.class_columns.items())
        for name, item in zip(names, layer.classes, strict=False)
    ]
    # the place -1 is the last
    texts.append("null" + "".join(f",{_json(key)}:null" for key in layer.class_columns))
    named = [texts[place] for place in layer.class_places(batch.class_ids)]
    columns = {key: _numbers(values) for key, values in layer.columns(batch).items()}
    ids = columns.pop("class_id")
    for class_id, name, *numbers in zip(ids, named, *columns.values(), strict=True):
        rest = "".join(f',"{key}":{number}' for key, number in zip(columns, numbers, strict=True))
        yield f'"class_id":{class_id},"class_name":{name}{rest}'


def _numbers(values: NDArray[Any]) -> list[str]:
    """Give the shortest text from which each number comes back; null for NaN."""
    texts: list[str] = values.astype(np.str_).tolist()
    return ["null" if text == "nan" else text for text in texts]


def _coordinates(batch: PolygonBatch) -> Iterator[bytes]:
    """Yield the text of each feature's coordinates."""
    from geodeeplab.vector.layers.kernels_geojson import format_coordinates, text_bytes

    polygons = polygons_of_features(batch)
    counts = {"rings": len(batch.ring_offsets), "polygons": len(batch.polygon_offsets), "features": len(batch)}
    out = np.empty(text_bytes(points=len(batch.points), **counts), np.uint8)
    ends = np.empty(len(batch), np.int64)
    is_multi = batch.feature_offsets is not None
    points = np.ascontiguousarray(batch.points)
    format_coordinates(points, batch.ring_offsets, batch.polygon_offsets, polygons, is_multi, out, ends)
    text, start = out[: ends[-1]].tobytes(), 0
    for end in ends.tolist():
        yield text[start:end]
        start = end


def _json(value: object) -> str:
    """Give compact JSON; letters beyond ASCII stay as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
