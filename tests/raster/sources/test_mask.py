"""Masks as users write them, and the rule of what hides a pixel."""

import re
from pathlib import Path

import numpy as np
import pytest

from geodeeplab.errors import OptionError
from geodeeplab.raster import Mask, mask_rasters, to_masks
from geodeeplab.raster.sources.mask import PRESETS
from geodeeplab.raster.validity import nodata_range


@pytest.mark.parametrize(
    ("text", "raster", "values", "bits"),
    [
        ("clouds.tif", "clouds.tif", (), ()),
        ("clouds.tif:1,2", "clouds.tif", (1, 2), ()),
        ("qa_pixel:bit3, bit4", "qa_pixel", (), (3, 4)),
        ("a.tif:-1,bit0", "a.tif", (-1,), (0,)),
        ("https://host:8080/a.tif", "https://host:8080/a.tif", (), ()),
        ("https://host:8080/a.tif:7", "https://host:8080/a.tif", (7,), ()),
        (r"C:\data\a.tif", r"C:\data\a.tif", (), ()),
        ("C:\\a.tif:3", "C:\\a.tif", (3,), ()),
        ("Sentinel-2", "Sentinel-2", (3, 8, 9, 10), ()),
        ("landsat", "landsat", (), (1, 2, 3, 4)),
        ("hls:bit4", "hls", (), (4,)),
    ],
)
def test_text(text: str, raster: str, values: tuple[int, ...], bits: tuple[int, ...]) -> None:
    (mask,) = to_masks(text)
    assert (mask.raster, mask.values, mask.bits) == (raster, values, bits)
    (again,) = to_masks(str(mask))
    assert again.facts == mask.facts


def test_what_belongs_to_each_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    texts = ["scl:3", "hls", "taken", "a/b.tif", "masks/{name}.tif", "s3://a/b", "gone.tif"]
    assert [one.is_of_each_scene for one in to_masks(texts)] == [True, True, False, False, True, False, True]
    assert to_masks("HLS")[0].band_names == PRESETS["hls"].names
    assert mask_rasters([tmp_path / "x.tif", "scl:3"]) == [str(tmp_path / "x.tif"), "scl"]
    assert mask_rasters(None) == []


def test_values_bits_and_nodata() -> None:
    codes = np.array([[0, 1, 2], [8, 12, 255]], dtype=np.uint8)
    there = np.array([[True, True, True], [True, True, True]])

    def hidden(text: str, nodata: float | None = None) -> list[int]:
        found = to_masks(f"a.tif{text}")[0].hides(codes, there, nodata_range(nodata, codes.dtype))
        return codes[found].tolist()  # type: ignore[no-any-return]

    assert hidden("") == [1, 2, 8, 12, 255]
    assert hidden("", 255) == [1, 2, 8, 12]
    assert hidden(":0,1,777") == [0, 1]
    assert hidden(":bit3") == [8, 12, 255]
    assert hidden(":bit3", 255) == [8, 12]
    assert hidden(":bit1,8", 255) == [2, 8]
    assert hidden(":0,255", 255) == [0, 255]  # a value that is named counts, nodata or not
    there[1] = False
    assert hidden(":0,255") == [0]


def test_numbers_with_a_point() -> None:
    values = np.array([[0.0, 0.5, np.nan, 2.0]])
    there = np.ones_like(values, dtype=bool)
    assert to_masks("a.tif")[0].hides(values, there, None).tolist() == [[False, True, False, True]]
    assert to_masks("a.tif:2")[0].hides(values, there, None).tolist() == [[False, False, False, True]]


def test_facts_tell_arrays_by_their_content() -> None:
    one, other = np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)
    facts = [to_masks(array)[0].facts for array in (one, one.copy(), other)]
    assert facts[0] == facts[1] != facts[2]
    assert to_masks("/data/clouds.tif:1")[0].facts == {"raster": "clouds.tif", "values": [1], "bits": []}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (":3", "a mask begins with a raster"),
        ("a.tif:bit64", "the bits of a mask are 0 to 63, not 64"),
        (7, "a mask is a raster's path, the name of a band, or an array (H, W), not int"),
        ([["a.tif"], {}], "not dict"),
    ],
)
def test_refused(mask: object, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        to_masks(mask)  # type: ignore[arg-type]


def test_a_mask_stays_what_it_is() -> None:
    mask = Mask(raster="a.tif", values=(1,))
    assert to_masks([mask, "b.tif"])[0] is mask


@pytest.mark.parametrize(
    ("preset", "dtype", "nodata", "hidden", "clear"),
    [
        # clear, water, snow of Landsat 8; fill has bit 0 alone
        ("landsat", "uint16", 1, [22280, 23888, 55052, 54596, 21826], [21824, 21952, 30048, 1]),
        ("hls", "uint8", 255, [66, 68, 72, 194, 14], [64, 96, 80, 192, 0, 255]),
        ("sentinel-2", "uint8", 0, [3, 8, 9, 10], [0, 1, 2, 4, 5, 6, 7, 11]),
    ],
)
def test_presets_on_codes_of_products(
    preset: str, dtype: str, nodata: float, hidden: list[int], clear: list[int]
) -> None:
    codes = np.array([hidden + clear], dtype=dtype)
    found = to_masks(preset)[0].hides(codes, np.ones(codes.shape, bool), nodata_range(nodata, codes.dtype))
    assert found.tolist() == [[True] * len(hidden) + [False] * len(clear)]
