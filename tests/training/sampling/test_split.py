"""The split of the ground: nothing leaks, whatever scenes, scales and angles."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster import Scene, open_array
from geodeeplab.training import IGNORE_INDEX, Augmentation, TrainingData, prepare_data
from geodeeplab.training.sampling.chip_sets import SideBySideChips, _starts
from geodeeplab.training.sampling.stratify import choose_units
from tests.examples import examples

CHIP = 32


def _transform(col: float, row: float, angle: float) -> Affine:
    return Affine(1, 0, 500_000, 0, -1, 5_000_000) @ Affine.translation(col, row) @ Affine.rotation(angle)


def _labels(shape: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Three classes in squares of 20 pixels, and a tenth of the squares without a label."""
    squares = np.random.default_rng(seed).choice(4, (-(-shape[0] // 20), -(-shape[1] // 20)), p=[0.1, 0.5, 0.3, 0.1])
    return squares.repeat(20, axis=0).repeat(20, axis=1)[: shape[0], : shape[1]].astype(np.uint8)


def _centres(transform: Affine, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Give (2, H, W) x and y of pixel centres, counted from the corner of the first scene, y downwards."""
    cols, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x = transform.a * cols + transform.b * rows + transform.c - 500_000
    y = transform.d * cols + transform.e * rows + transform.f - 5_000_000
    return np.stack([x, -y])


def _prepare(
    layers: Sequence[npt.NDArray[np.float32]], transforms: Sequence[Affine], seed: int, buffer: int
) -> TrainingData:
    scenes: list[Scene] = [
        open_array(array, transform=transform, crs="EPSG:32633")
        for array, transform in zip(layers, transforms, strict=True)
    ]
    labels = [
        open_array(_labels(array.shape[-2:], number), transform=transform, crs="EPSG:32633")
        for number, (array, transform) in enumerate(zip(layers, transforms, strict=True))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoDeepLabWarning)  # a class may be missing on one side
        return prepare_data(
            scenes=scenes,
            labels=labels,
            chip_size=CHIP,
            batch_size=2,
            block_size=40,
            buffer=buffer,
            augmentation=Augmentation(scale=(0.5, 2.0), rotation_share=0.7),
            seed=seed,
        )


def _validation_pixels(data: TrainingData, shapes: Sequence[tuple[int, int]]) -> list[npt.NDArray[np.int64]]:
    """Count for each pixel of each scene in how many validation chips it has its label."""
    assert isinstance(data.val, SideBySideChips)
    counts = [np.zeros(shape, dtype=np.int64) for shape in shapes]
    for index in range(len(data.val)):
        number, row, col = data.val.place(index)
        rows, cols = np.nonzero(data.val.draw(index).labels.numpy() != IGNORE_INDEX)
        counts[number][rows + row, cols + col] += 1
    return counts


@settings(max_examples=examples(10))
@given(
    places=st.lists(
        st.tuples(st.floats(-60, 150), st.floats(-60, 150), st.sampled_from([0.0, 30.0, 45.0, 90.0, -12.5])),
        min_size=1,
        max_size=3,
    ),
    buffer=st.sampled_from([0, 8, 20]),
    seed=st.integers(0, 5),
)
def test_no_validation_pixel_is_within_the_buffer_of_anything_that_training_reads(
    places: list[tuple[float, float, float]], buffer: int, seed: int
) -> None:
    transforms = [_transform(0, 0, 0), *(_transform(*place) for place in places)]
    shapes = [(170, 190), *((120, 140) for _ in places)]
    ground = [_centres(transform, shape) for transform, shape in zip(transforms, shapes, strict=True)]
    plain = [np.zeros((1, *shape), dtype=np.float32) for shape in shapes]
    data = _prepare(plain, transforms, seed, buffer)
    is_val = [counts > 0 for counts in _validation_pixels(data, shapes)]

    # the same scenes once more, with a mark on all ground within the buffer of a validation pixel
    val = np.concatenate([xy[:, keep] for xy, keep in zip(ground, is_val, strict=True)], axis=1)
    tree = cKDTree(val.T)
    marks = [
        (tree.query(xy.reshape(2, -1).T, p=np.inf)[0] <= buffer).reshape(1, *xy.shape[1:]).astype(np.float32)
        for xy in ground
    ]
    marked = _prepare(marks, transforms, seed, buffer)
    assert sum(int(one.sum()) for one in is_val) > 0
    seen = 0
    for epoch in range(2):
        for index in range(len(marked.train)):
            chip = marked.train.draw(index, epoch=epoch)
            seen += int(chip.valid.sum())
            assert not chip.pixels.any()
            assert (chip.labels[~chip.valid] == IGNORE_INDEX).all()
    assert seen > 0


@pytest.mark.parametrize(("chip", "block"), [(32, 40), (48, 16), (20, 64)])
def test_every_labelled_validation_pixel_lies_in_exactly_one_chip(chip: int, block: int) -> None:
    labels = _labels((200, 230), 3)
    scene = open_array(np.zeros((1, 200, 230), dtype=np.float32))
    data = prepare_data(
        scenes=scene, labels=labels, chip_size=chip, batch_size=2, block_size=block, buffer=4, val_split_pct=0.4
    )
    counts = _validation_pixels(data, [(200, 230)])[0]
    assert set(np.unique(counts)) == {0, 1}
    assert counts.sum() == sum(item["val_pixels"] for item in data.provenance["classes"])
    assert not counts[labels == 0].any()


@given(start=st.integers(0, 100), length=st.integers(1, 200), chip=st.integers(1, 64), beyond=st.integers(0, 100))
def test_chips_side_by_side_cover_a_span_once(start: int, length: int, chip: int, beyond: int) -> None:
    starts = _starts(start, start + length, chip, start + length + beyond)
    assert starts == [starts[0] + chip * number for number in range(len(starts))]
    assert starts[0] <= start
    assert starts[-1] + chip >= start + length
    assert len(starts) == -(-length // chip)


@given(seed=st.integers(0, 30), units=st.integers(2, 40), share=st.sampled_from([0.1, 0.2, 0.5]))
def test_a_class_of_two_units_is_on_both_sides(seed: int, units: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, (units, 3)) * (rng.random((units, 3)) < 0.3)
    counts[:, 0] += 1  # no unit is empty
    chosen = choose_units(counts, share=share, rng=rng, stratify=True)
    assert chosen.any()
    assert not chosen.all()
    if units >= 12:  # few units cannot always serve several classes
        for number in range(3):
            if (counts[:, number] > 0).sum() >= 3:
                assert counts[chosen, number].any()
                assert counts[~chosen, number].any()


def test_a_rare_class_is_stratified() -> None:
    counts = np.full((50, 2), [1000, 0])
    counts[:5, 1] = 10
    chosen = choose_units(counts, share=0.2, rng=np.random.default_rng(1), stratify=True)
    assert counts[chosen, 1].sum() == 10
    assert abs(counts[chosen, 0].sum() / 50_000 - 0.2) <= 0.05


def test_a_random_split_warns() -> None:
    scene = open_array(np.zeros((1, 200, 230), dtype=np.float32))
    with pytest.warns(GeoDeepLabWarning, match="leaks: validation chips adjoin"):
        data = prepare_data(scenes=scene, labels=_labels((200, 230), 3), chip_size=32, batch_size=2, split="random")
    assert data.provenance["split"]["unused_share"] == 0
    assert "adjoin" in str(data.describe())


def test_a_scene_too_small_to_be_split_is_refused() -> None:
    scene = open_array(np.zeros((1, 40, 40), dtype=np.float32))
    with pytest.raises(OptionError, match="smaller `chip_size=`, `block_size=` or `buffer=`, or another"):
        prepare_data(scenes=scene, labels=_labels((40, 40), 0), chip_size=256, batch_size=2)
    with pytest.raises(OptionError, match="chips of 256 pixels make 1 with labels"):
        prepare_data(scenes=scene, labels=_labels((40, 40), 0), chip_size=256, batch_size=2, split="random")


def test_a_buffer_beyond_all_ground_is_refused_at_once() -> None:
    scene = open_array(np.zeros((1, 200, 230), dtype=np.float32))
    with pytest.raises(OptionError, match=r"buffer of 1000000000 leave no labelled ground"):
        prepare_data(scenes=scene, labels=_labels((200, 230), 3), chip_size=32, batch_size=2, buffer=10**9)


def test_groups_and_files_stay_whole() -> None:
    arrays = [np.full((1, 64, 64), value, dtype=np.float32) for value in (1, 2, 3, 4)]
    labels = [_labels((64, 64), 1) for _ in arrays]
    common = {"chip_size": 32, "batch_size": 2, "augmentation": False, "val_split_pct": 0.4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoDeepLabWarning)
        data = prepare_data(scenes=arrays, labels=labels, groups=["a", "b", "a", "b"], **common)  # type: ignore[arg-type]
    train = {float(data.train.draw(i).pixels.max()) for i in range(len(data.train))}
    val = {float(data.val.draw(i).pixels.max()) for i in range(len(data.val))}
    assert (train, val) in (({1.0, 3.0}, {2.0, 4.0}), ({2.0, 4.0}, {1.0, 3.0}))
    assert data.provenance["split"]["kind"] == "groups"
    with pytest.raises(OptionError, match="groups has a name for each scene, not 2 for 4"):
        prepare_data(scenes=arrays, labels=labels, groups=["a", "b"], **common)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="needs at least two groups"):
        prepare_data(scenes=arrays, labels=labels, groups=["a"] * 4, **common)  # type: ignore[arg-type]


def test_shared_ground_of_given_scenes_warns() -> None:
    arrays = [np.zeros((1, 64, 64), dtype=np.float32) for _ in range(3)]
    places = [_transform(0, 0, 0), _transform(48, 0, 0), _transform(500, 0, 0)]
    scenes = [open_array(one, transform=t, crs="EPSG:32633") for one, t in zip(arrays, places, strict=True)]
    labels = [_labels((64, 64), 1) for _ in arrays]
    with pytest.warns(GeoDeepLabWarning, match=r"the split leaks: 25 % of the validation scenes' ground"):
        data = prepare_data(scenes=scenes, labels=labels, chip_size=32, batch_size=2, val_scenes=[1])
    assert data.provenance["leakage"]["share"] == pytest.approx(0.25)
    assert len(data.provenance["leakage"]["pairs"]) == 1
    clean = prepare_data(scenes=scenes, labels=labels, chip_size=32, batch_size=2, val_scenes=[2])
    assert clean.provenance["leakage"]["share"] == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"split": "blocs"}, "a split is one of"),
        ({"val_split_pct": 0}, "above 0 and below 1"),
        ({"val_split_pct": 1.5}, "above 0 and below 1"),
        ({"buffer": -1}, "a buffer at least 0"),
        ({"val_scenes": [3]}, "which is no scene"),
        ({"val_scenes": ["b.tif"]}, "which is no scene"),
        ({"split": "groups"}, "needs the group of every scene"),
        ({"val_scenes": [0]}, "leave no labelled pixel"),
    ],
)
def test_splits_that_make_no_sense_are_refused(options: dict[str, object], match: str) -> None:
    scene = open_array(np.zeros((1, 100, 100), dtype=np.float32))
    with pytest.raises(OptionError, match=match):
        prepare_data(scenes=scene, labels=_labels((100, 100), 0), chip_size=32, batch_size=2, **options)  # type: ignore[arg-type]
