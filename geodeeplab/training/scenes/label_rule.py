"""What labels mean: the options of `prepare_data` and `export_chips` that say so, together."""

from dataclasses import dataclass
from typing import Any

from geodeeplab.raster import AoiLike
from geodeeplab.raster.burn import Overlap
from geodeeplab.training.scenes.class_table import ClassesLike, ClassMapping


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """What labels mean."""

    class_field: str | None = None
    """Field of polygons that names their class; None: they are all of one class."""
    classes: ClassesLike | None = None
    """See `make_class_table`."""
    class_mapping: ClassMapping | None = None
    """See `make_class_table`."""
    ignore_unknown: bool = False
    """Whether values that no class has are ignored; else they are refused."""
    background: str | None = None
    """Class of ground without a label; None: it is ignored."""
    labelled: AoiLike | None = None
    """What was labelled; outside of it everything is ignored. None: all ground."""
    overlap: Overlap = "last"
    """Where polygons overlap, see `burn`."""
    all_touched: bool = False
    """Polygons cover all pixels that they touch, see `burn`."""
    layer: str | None = None
    """Name of the layer in files of several."""

    def facts(self) -> dict[str, Any]:
        """Give what the caller said, as JSON can hold it; the classes are facts of their own."""
        mapping = None if self.class_mapping is None else {str(key): name for key, name in self.class_mapping.items()}
        said = {
            "class_field": self.class_field,
            "class_mapping": mapping,
            "ignore_unknown": self.ignore_unknown,
            "background": self.background,
            "overlap": self.overlap,
            "all_touched": self.all_touched,
            "layer": self.layer,
        }
        return {key: value for key, value in said.items() if value}
