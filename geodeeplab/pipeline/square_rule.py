"""Which polygons of a label raster are squared, and in what plane."""

from collections.abc import Sequence

import numpy as np

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.raster import Grid, LabelClass
from geodeeplab.vector import InstanceCodes, InstanceRule, Metric, SquareRule, metric_table

METRIC_CELL_PX = 256


def square_rule(
    options: PolygonOptions, grid: Grid, classes: Sequence[LabelClass], instances: InstanceRule | None
) -> SquareRule:
    """Say what is squared: angles are right on the map, and on the ground where the map is in degrees.

    Raises:
        OptionError: for a class that is not there.
    """
    if grid.crs is not None and grid.crs.is_geographic:
        metric = Metric(cell_px=METRIC_CELL_PX, matrices=metric_table(grid, METRIC_CELL_PX))
    else:
        a, b, _, d, e, _ = grid.transform[:6]
        metric = Metric(cell_px=1, matrices=np.array([[[[a, b], [d, e]]]]))
    ids = {item.name: item.id for item in classes}
    found = []
    for name in options.square_classes:
        class_id = ids[name] if isinstance(name, str) and name in ids else name
        if isinstance(class_id, str) and class_id.isdecimal():
            class_id = int(class_id)
        if isinstance(class_id, str) or (classes and class_id not in ids.values()):
            known = ", ".join(ids) or "none with a name"
            raise OptionError(f"`square=` names {name!r}, which is no class; there are {known}: give some of these")
        found.append(class_id)
    codes = None if instances is None else InstanceCodes(class_ids=instances.class_ids)
    return SquareRule(class_ids=found, tolerance_px=options.square_tolerance_px, metric=metric, codes=codes)
