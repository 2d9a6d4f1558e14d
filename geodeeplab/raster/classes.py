"""The class table of a label raster, as a tag of the file: ids, names and colours together."""

import json
from collections.abc import Sequence

from geodeeplab.errors import OptionError
from geodeeplab.raster.cog import LabelClass
from geodeeplab.raster.scene import Scene

CLASSES_TAG = "GEODEEPLAB_CLASSES"


def classes_tag(classes: Sequence[LabelClass]) -> dict[str, str]:
    """Give the tag that `read_classes` reads."""
    table = [{"id": item.id, "name": item.name, "color": list(item.color)} for item in classes]
    return {CLASSES_TAG: json.dumps(table)}


def read_classes(scene: Scene) -> list[LabelClass]:
    """Read the classes of a label raster that GeoDeepLab wrote; none for anyone else's."""
    try:
        table = json.loads(scene.source.tags.get(CLASSES_TAG, "[]"))
        return [LabelClass(id=item["id"], name=item["name"], color=tuple(item["color"])) for item in table]
    except (json.JSONDecodeError, KeyError, TypeError, OptionError):
        return []
