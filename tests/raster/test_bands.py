import numpy as np
import pytest

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.bands import Band, band_name, describe_bands, find_bands


def make_bands(*bands: tuple[str | None, str]) -> list[Band]:
    """Make uint8 bands of (description, colour interpretation)."""
    only = len(bands) == 1
    return [
        Band(
            number=number,
            name=band_name(number, description=description, colorinterp=colorinterp, is_only_band=only),
            dtype=np.dtype("uint8"),
            scale=1,
            offset=0,
            nodata=None,
            colorinterp=colorinterp,
        )
        for number, (description, colorinterp) in enumerate(bands, start=1)
    ]


def find(bands: list[Band], *wanted: str | int) -> list[int]:
    return [band.number for band in find_bands(bands, wanted, path="x.tif")]


rgb = make_bands((None, "red"), (None, "green"), (None, "blue"))
bgrn = make_bands(("Blue", "gray"), (" green ", "undefined"), ("RED", "undefined"), ("Near Infrared", "undefined"))


def test_names_come_from_description_then_colour_then_number() -> None:
    assert [b.name for b in make_bands(("Swir 1", "red"), (None, "green"), (None, "undefined"))] == [
        "Swir 1", "green", "3",
    ]  # fmt: skip
    assert [b.name for b in make_bands((None, "gray"), (" ", "undefined"))] == ["1", "2"]
    assert [b.name for b in make_bands((None, "gray"))] == ["gray"]


def test_names_are_found_whatever_their_case_and_order() -> None:
    assert find(rgb, "BLUE", "red") == [3, 1]
    assert find(bgrn, "red", "green", "blue") == [3, 2, 1]


@pytest.mark.parametrize("spelling", ["nir", "NIR", "near_infrared", "Near-Infrared", "nearinfrared"])
def test_common_names_have_spellings(spelling: str) -> None:
    assert find(bgrn, spelling) == [4]
    assert find(make_bands((None, "red"), (None, "nir")), spelling) == [2]


def test_spellings_of_colours() -> None:
    assert find(rgb, "R", "g", "b") == [1, 2, 3]
    assert find(make_bands((None, "gray")), "grey") == [1]


def test_description_wins_over_colour() -> None:
    assert find(make_bands(("x", "red"), ("red", "undefined")), "red") == [2]
    assert find(make_bands(("x", "red"), ("y", "undefined")), "red") == [1]


def test_numbers_are_one_based_and_text_is_a_name_first() -> None:
    assert find(rgb, 2, "3") == [2, 3]
    landsat = make_bands(("4", "gray"), ("3", "undefined"), ("2", "undefined"), ("1", "undefined"))
    assert find(landsat, "4") == [1]
    assert find(landsat, 4) == [4]


def test_a_band_may_be_wanted_twice() -> None:
    assert find(rgb, 1, 1, 1) == [1, 1, 1]


@pytest.mark.parametrize("wanted", ["nir", "4", 4, 0, -1, "0", "-1", "", "undefined", "1.0"])
def test_what_is_not_there_is_refused_with_a_list(wanted: str | int) -> None:
    with pytest.raises(
        SceneError, match=r"x\.tif' has no band '.*', it has 3 bands: 1 \(red\), 2 \(green\), 3 \(blue\)"
    ):
        find(rgb, wanted)


def test_gray_of_several_bands_is_no_name() -> None:
    with pytest.raises(SceneError, match="it has 2 bands: 1, 2;"):
        find(make_bands((None, "gray"), (None, "undefined")), "gray")


def test_ambiguous_names_are_refused() -> None:
    with pytest.raises(SceneError, match=r"more than one band 'red': choose by number among 1 \(red\), 2 \(Red\)"):
        find(make_bands(("red", "gray"), ("Red", "undefined")), "red")


@pytest.mark.parametrize("wanted", ["red", [], ()])
def test_bands_are_a_list(wanted: str | list[str]) -> None:
    with pytest.raises(OptionError, match="list of names"):
        find_bands(rgb, wanted, path="x.tif")


def test_describe_bands() -> None:
    assert describe_bands(make_bands((None, "red"), (None, "undefined"))) == "1 (red), 2"
