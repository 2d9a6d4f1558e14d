import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.raster.spool.encoded import SpoolLayer, encode_block


def decode(content: bytes, dtype: str) -> NDArray[np.generic]:
    with MemoryFile(content) as memory, memory.open() as src:
        return src.read().astype(dtype)  # type: ignore[no-any-return]


@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 700)),
    data=st.data(),
)
def test_pixels_come_back_to_the_bit(dtype: str, shape: tuple[int, int, int], data: st.DataObject) -> None:
    sample = data.draw(hnp.arrays(dtype, 20))
    cube = np.resize(sample, shape)
    block = encode_block(3, 5, {"a": cube, "b": cube[:1]}, threads=2)
    assert block.layers == (SpoolLayer(name="a", dtype=dtype, bands=shape[0]), SpoolLayer(name="b", dtype=dtype))
    assert block.shape == shape[1:]
    back = decode(block.contents["a"], dtype)[:, 3:, 5:]  # files begin at the corners of squares
    np.testing.assert_array_equal(back, cube)
    if dtype != "float16":  # by way of float32 a NaN keeps that it is one, not which
        assert back.tobytes() == cube.tobytes()


def test_every_half_float_comes_back() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(2, 128, 256)
    np.testing.assert_array_equal(decode(encode_block(0, 0, {"a": every}).contents["a"], "float16"), every)


def test_blocks_lie_in_place_and_travel() -> None:
    block = encode_block(1031, 517, {"labels": np.ones((2, 4), np.uint8)})
    with MemoryFile(block.contents["labels"]) as memory, memory.open() as src:
        assert tuple(src.bounds) == (512, 1e9 - 1033, 521, 1e9 - 1024)
        assert src.block_shapes == [(512, 512)]
        assert src.read(1, window=Window(5, 7, 4, 2)).all()
    assert pickle.loads(pickle.dumps(block)) == block


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 7, 255])))
def test_labels_are_counted_but_nodata(labels: NDArray[np.uint8]) -> None:
    counted = encode_block(0, 0, {"labels": labels, "other": labels[None]}, count="labels").class_pixels
    values, counts = np.unique(labels[labels != 0], return_counts=True)
    assert counted == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_large_labels_are_counted_in_parts() -> None:
    labels = np.full((300, 700), 3, dtype=np.uint8)
    assert encode_block(0, 0, {"labels": labels[:, ::-1]}, count="labels").class_pixels == {3: 210_000}


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"a": np.zeros((0, 3), np.uint8)},
        {"a": np.zeros(3, np.uint8)},
        {"a": np.zeros((2, 3), np.uint8), "b": np.zeros((3, 2), np.uint8)},
    ],
)
def test_refuses_arrays_that_do_not_fit(arrays: dict[str, NDArray[np.uint8]]) -> None:
    with pytest.raises(ValueError, match="one height and width"):
        encode_block(0, 0, arrays)


def test_refuses_to_count_measurements() -> None:
    with pytest.raises(ValueError, match="uint8, not float32"):
        encode_block(0, 0, {"a": np.zeros((2, 3), np.float32)}, count="a")


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        ({"name": "a b", "dtype": "uint8"}, "letters, digits and _ only, not 'a b'"),
        ({"name": "a", "dtype": "complex64"}, "has type 'complex64': choose one of uint8"),
        ({"name": "a", "dtype": "uint8", "bands": 0}, "has 0 bands"),
    ],
)
def test_refuses_layers_that_cannot_be(layer: dict[str, object], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        SpoolLayer(**layer)  # type: ignore[arg-type]
