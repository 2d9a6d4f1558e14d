"""A STAC item collection as scenes of their own, one an item; read together they are a mosaic (`stac.py`)."""

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from geodeeplab.errors import SceneError
from geodeeplab.raster.sources.local_only import is_local_only
from geodeeplab.raster.sources.remote import gdal_path, is_remote, public_name
from geodeeplab.raster.sources.stac_item import load_document, mappings_in


def split_collection(document: str | PathLike[str] | Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Give the items of a STAC item collection, each ready to be opened by itself; None of what is no collection.

    Relative hrefs stay so: each item says by its `self` link that it lies where the collection does. What is wrong
    with an item is for whoever opens it to say.

    Args:
        document: a file or http(s) URL of the JSON, or the JSON as Python reads it.

    Raises:
        SceneError: it cannot be read, is one page of several, or holds something else than items; or `local_only`, by
            which an item needs a file of its own.
    """
    content = document if isinstance(document, Mapping) else load_document(fspath(document))
    if not isinstance(content, Mapping) or content.get("type") != "FeatureCollection":
        return None
    name = "the STAC document" if isinstance(document, Mapping) else public_name(fspath(document))
    items, found = content.get("features"), mappings_in(content.get("features"))
    if not found or not isinstance(items, list) or len(found) < len(items):
        raise SceneError(f"'{name}' is no collection of STAC items: give a FeatureCollection of at least one item")
    if any(link.get("rel") == "next" for link in mappings_in(content.get("links"))):
        raise SceneError(f"'{name}' is one page of a longer list of STAC items: put all items into one collection")
    if is_local_only():
        raise SceneError(
            f"the items of '{name}' have no folders of their own that assets could lie in, as `local_only=` asks for: "
            "give each item as a file"
        )
    return found if isinstance(document, Mapping) else [_placed(item, fspath(document)) for item in found]


def _placed(item: Mapping[str, Any], base: str) -> Mapping[str, Any]:
    """Give an item that says where it was read from, in place of its own `self` link."""
    place = base if is_remote(base) else str(Path(gdal_path(base)).absolute())
    others = [link for link in mappings_in(item.get("links")) if link.get("rel") != "self"]
    return {**item, "links": [*others, {"rel": "self", "href": place}]}
