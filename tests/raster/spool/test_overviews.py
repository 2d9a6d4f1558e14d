import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OutputError
from geodeeplab.raster.spool import overviews
from geodeeplab.raster.spool.encoded import SpoolLayer, encode_block
from geodeeplab.raster.spool.kernels import means, modes
from geodeeplab.raster.spool.overviews import Overviews, Resampling, overview_shapes
from geodeeplab.raster.spool.reading import read_part
from geodeeplab.raster.spool.spans import spans_of
from geodeeplab.raster.spool.store import BlockSpool


def halves(pixels: NDArray[Any], resampling: Resampling, nodata: float) -> NDArray[Any]:
    """Brute force."""
    height, width = (max(side // 2, 1) for side in pixels.shape)
    rows, cols = spans_of(pixels.shape[0], height), spans_of(pixels.shape[1], width)
    out = np.full((height, width), nodata, dtype=pixels.dtype)
    for i in range(height):
        for j in range(width):
            window = pixels[rows.start[i] : rows.stop[i], cols.start[j] : cols.stop[j]]
            high, wide = (weights_of(side, at) for side, at in ((rows, i), (cols, j)))
            valid = ~np.isnan(window) if np.isnan(nodata) else window != nodata
            if not valid.any():
                continue
            if resampling == "mode":
                votes = {label: int((window == label).sum()) for label in window[valid].tolist()}
                best = [label for label, count in votes.items() if count == max(votes.values())]
                reached = {label: np.flatnonzero(window.ravel() == label)[votes[label] - 1] for label in best}
                out[i, j] = min(reached, key=lambda label: reached[label])
            else:
                totals = [float(sum(row)) for row in np.where(valid, window, 0) * wide]
                weights = [float(sum(row)) for row in valid * wide]
                mean = sum(high * totals) / sum(high * weights)
                out[i, j] = np.floor(mean + 0.5) if pixels.dtype.kind == "u" else mean
    return out


def weights_of(side: Any, at: int) -> NDArray[np.float64]:  # noqa: ANN401 - Spans
    weights = np.ones(side.stop[at] - side.start[at])
    weights[-1] = side.last_weight[at]
    weights[0] = side.first_weight[at]
    return weights


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_kernels_do_what_brute_force_does(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (height, width), dtype=np.uint8)
    rows, cols = spans_of(height, max(height // 2, 1)), spans_of(width, max(width // 2, 1))
    np.testing.assert_array_equal(modes(labels, rows, cols, 0), halves(labels, "mode", 0))
    np.testing.assert_array_equal(means(labels * 9, rows, cols, 0), halves(labels * 9, "average", 0))
    shares = np.where(labels == 0, np.nan, rng.random((height, width))).astype(np.float16)
    np.testing.assert_array_equal(
        means(shares, rows, cols, np.nan), halves(shares.astype(float), "average", np.nan).astype("f2")
    )


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ((512, 512), []),
        ((513, 2), [(256, 1)]),
        ((1, 1701), [(1, 850), (1, 425)]),
        ((2051, 1301), [(1025, 650), (512, 325)]),
    ],
)
def test_overviews_go_down_to_one_square(shape: tuple[int, int], want: list[tuple[int, int]]) -> None:
    assert overview_shapes(shape) == want


@pytest.fixture
def small_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares of 16 px, so that small rasters have many."""
    for module in ("encoded", "overviews"):
        monkeypatch.setattr(f"geodeeplab.raster.spool.{module}.BLOCK_SIZE", 16)
    monkeypatch.setattr(overviews, "SOURCE_BYTES", 4096)


def blocks_of(pixels: NDArray[Any]) -> list[tuple[int, int, NDArray[Any]]]:
    return [
        (row, col, pixels[..., row : row + 13, col : col + 29])
        for row in range(0, pixels.shape[-2], 13)
        for col in range(0, pixels.shape[-1], 29)
    ]


@pytest.mark.usefixtures("small_squares")
@pytest.mark.parametrize(("dtype", "bands", "window"), [("uint8", 1, None), ("float16", 2, None), ("uint8", 1, (5, 9))])
def test_overviews_made_meanwhile_are_those_made_at_the_end(
    tmp_path: Path, dtype: str, bands: int, window: tuple[int, int] | None
) -> None:
    shape = (61, 53)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4, (bands, *shape)).astype(dtype)[slice(None) if bands > 1 else 0]
    spool = BlockSpool(tmp_path, shape, [SpoolLayer(name="a", dtype=dtype, bands=bands)])
    part = None if window is None else Window(window[1], window[0], 40, 40)
    resampling: Resampling = "mode" if dtype == "uint8" else "average"
    following = Overviews(spool, "a", resampling=resampling, nodata=0, window=part)
    following.start()
    blocks = blocks_of(pixels)
    random.Random(1).shuffle(blocks)
    for row, col, block in blocks:
        spool.append(encode_block(row, col, {"a": block}))
        following.check()
    cube = pixels if part is None else pixels[..., 5:45, 9:49]
    cube = cube if bands > 1 else cube[None]
    levels = following.result()
    assert [level.shape for level in levels] == overview_shapes(cube.shape[-2:])
    for level in levels:
        cube = np.stack([halves(band.astype("f8" if bands > 1 else "u1"), resampling, 0) for band in cube]).astype(
            dtype
        )
        found = read_part(level, "a", rows=(0, level.shape[0]), cols=(0, level.shape[1]))
        np.testing.assert_array_equal(found.reshape(cube.shape), cube)
    following.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []


@pytest.mark.usefixtures("small_squares")
def test_what_goes_wrong_is_raised_and_who_waits_can_be_stopped(tmp_path: Path) -> None:
    spool = BlockSpool(tmp_path, (64, 64), [SpoolLayer(name="a", dtype="uint8")])
    waiting = Overviews(spool, "a", resampling="mode", nodata=0)
    waiting.start()
    waiting.close()
    following = Overviews(spool, "a", resampling="mode", nodata=0)
    spool.append(encode_block(0, 0, {"a": np.ones((64, 64), np.uint8)}))
    (tmp_path / "a-000000000-000000000.tif").unlink()
    with pytest.raises(OutputError, match="a-000000000-000000000"):
        following.result()
    with pytest.raises(OutputError):
        following.check()
