"""Codes of instances: labels in which objects that touch differ, and whose class is known by the code alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import SceneError

FIRST_CODE = 1 << 16
"""Labels are below it, codes of objects are not."""
LAST_CODE = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class InstanceCodes:
    """Maps objects to codes and codes to classes. Labels of other classes are their own codes."""

    class_ids: tuple[int, ...]
    """The classes whose objects have codes, K of them."""

    def of(self, objects: NDArray[np.integer[Any]], kinds: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Give the codes of objects: `FIRST_CODE` + K · object + kind.

        Args:
            objects: (N,) numbers from 0, each of one object of the raster.
            kinds: (N,) places of their classes in `class_ids`.

        Raises:
            SceneError: there are more than codes.
        """
        codes = FIRST_CODE + objects.astype(np.int64) * len(self.class_ids) + kinds
        if codes.max(initial=0) > LAST_CODE:
            raise SceneError(f"there are {int(objects.max()) + 1} objects, more than have codes: take a part at a time")
        return codes.astype(np.int32)

    def to_labels(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Give the class ids of codes, of any shape."""
        ids = np.array(self.class_ids, np.int32)
        return np.where(codes < FIRST_CODE, codes, ids[(codes - FIRST_CODE) % len(ids)])
