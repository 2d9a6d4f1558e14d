"""Faults of attributes: classes that are none, and nulls."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.raster.polygons.class_text import class_text
from geodeeplab.vector.checking.faults import Faults, list_faults

if TYPE_CHECKING:
    import pyarrow as pa

ID_FIELD, NAME_FIELD = "class_id", "class_name"


class AttributeCheck:
    """Looks at the columns of one batch after the other."""

    def __init__(self, *, class_field: str | None, classes: Collection[str] | None, nullable: Collection[str]) -> None:
        """Begin.

        Args:
            class_field: the column with the class; by default `class_name`, and `class_id` beside it.
            classes: the classes that there are to be, as text; None for any.
            nullable: columns that may be null.
        """
        self._fields = (NAME_FIELD, ID_FIELD) if class_field is None else (class_field,)
        self._classes = None if classes is None else {class_text(one) for one in classes}
        self._nullable = set(nullable)
        self._names: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def iter_faults(self, columns: "pa.Table", fids: NDArray[np.int64]) -> Iterator[Faults]:
        """Find what is wrong with the attributes of features, (n,) numbered so."""
        texts = {field: _texts(columns[field]) for field in self._fields if field in columns.column_names}
        for name in columns.column_names:
            if name not in texts and name not in self._nullable and columns[name].null_count:
                null = np.asarray(columns[name].is_null())
                yield list_faults("null attribute", fids[null], note=name)
        blank = np.zeros(len(fids), dtype=np.bool_)
        for found in texts.values():
            blank |= found == ""
        yield list_faults("no class", fids[blank])
        if not texts:
            return
        named = next(iter(texts.values()))
        if self._classes is not None:
            is_known = np.isin(named.astype(str), sorted(self._classes))
            unknown = ~is_known & ~blank
            yield list_faults("unknown class", fids[unknown], note=named[unknown])
        if len(texts) == 2:
            yield self._mismatches(texts[NAME_FIELD], texts[ID_FIELD], fids, blank)

    def _mismatches(
        self, names: NDArray[Any], ids: NDArray[Any], fids: NDArray[np.int64], blank: NDArray[np.bool_]
    ) -> Faults:
        """Find features whose id has had another name before, or whose name another id."""
        wrong = np.zeros(len(fids), dtype=np.bool_)
        for name, number in dict.fromkeys(zip(names[~blank], ids[~blank], strict=True)):
            if self._names.setdefault(number, name) != name or self._ids.setdefault(name, number) != number:
                wrong |= (names == name) & (ids == number)
        return list_faults("class mismatch", fids[wrong], note=ids[wrong] + " " + names[wrong])


def _texts(column: "pa.ChunkedArray") -> NDArray[Any]:
    """Give the values of a column (n,) as text; "" for null and blank."""
    encoded = column.combine_chunks().dictionary_encode()
    values = np.array([*(class_text(one) for one in encoded.dictionary.to_pylist()), ""], dtype=object)
    places = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    texts: NDArray[Any] = values[places]
    return texts
