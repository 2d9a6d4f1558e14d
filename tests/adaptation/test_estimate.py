"""Reports on tiny cases whose numbers fit in the head, and how often intervals hold the truth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from geodeeplab.adaptation.estimate import make_report
from geodeeplab.adaptation.report import Report
from geodeeplab.adaptation.samples import LabelledCells
from tests.adaptation.cells import labelled

FAR = 1000


def outcomes(labels: list[list[int]], truth: list[int], k: int = 2) -> tuple[LabelledCells, NDArray[np.float32]]:
    """Give cells of polygons far apart, and sure probabilities for the labels (one list a polygon)."""
    cells = labelled([(truth[i], FAR * i, 0, len(one)) for i, one in enumerate(labels)])
    return cells, np.eye(k, dtype=np.float32)[[label for one in labels for label in one]]


def report(
    labels: list[list[int]], truth: list[int], shares: list[float], *, seed: int = 0, resamples: int = 500
) -> Report:
    cells, probabilities = outcomes(labels, truth, len(shares))
    names = [f"class {i}" for i in range(len(shares))]
    return make_report(cells, probabilities, classes=names, map_shares=np.array(shares), seed=seed, resamples=resamples)


def test_rows_are_weighted_by_the_map_and_the_scores_follow() -> None:
    found = report([[0, 0, 0, 1], [0, 0, 0, 0], [1, 1], [1, 0]], [0, 0, 1, 1], [0.8, 0.2])
    # recalls 7/8 and 3/4: 0.8 · (7/8, 1/8) and 0.2 · (1/4, 3/4)
    assert np.allclose(found.confusion, [[0.7, 0.1], [0.05, 0.15]])
    first, second = found.classes
    assert first.iou is not None
    assert second.iou is not None
    assert first.precision is not None
    assert second.recall is not None
    assert second.f1 is not None
    assert first.iou.value == pytest.approx(0.7 / 0.85)
    assert second.iou.value == pytest.approx(0.15 / 0.3)
    assert first.precision.value == pytest.approx(0.7 / 0.75)
    assert second.recall.value == pytest.approx(0.75)
    assert second.f1.value == pytest.approx(0.3 / 0.45)
    assert found.mean_iou is not None
    assert found.mean_iou.value == pytest.approx((0.7 / 0.85 + 0.5) / 2)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(0.85)
    assert [one.map_share for one in found.classes] == [0.8, 0.2]


def test_a_polygon_of_1000_cells_counts_as_one_of_10() -> None:
    found = report([[0] * 1000, [1] * 10, [1] * 5, [1] * 50], [0, 0, 1, 1], [0.5, 0.5])
    assert np.allclose(found.confusion, [[0.25, 0.25], [0.0, 0.5]])


def test_a_class_in_one_place_has_no_score_and_is_in_no_mean() -> None:
    cells, probabilities = outcomes([[0], [0], [1], [0], [2]], [0, 0, 1, 1, 2], 3)
    probabilities[-1] = np.nan
    found = make_report(cells, probabilities, classes=["a", "b", "c"], map_shares=np.full(3, 1 / 3))
    assert np.allclose(found.confusion, [[0.5, 0.0, 0.0], [0.25, 0.25, 0.0], [0.0, 0.0, 0.0]])
    assert found.classes[2].iou is None
    assert found.classes[2].places == 1
    assert found.mean_iou is not None
    assert found.mean_iou.value == pytest.approx((0.5 / 0.75 + 0.5) / 2)
    assert "in one place: c" in str(found)


def test_a_class_that_is_never_labelled_has_no_precision() -> None:
    found = report([[0], [0], [0], [0]], [0, 0, 1, 1], [1.0, 0.0])
    assert found.classes[1].precision is None
    assert found.classes[1].iou is not None
    assert found.classes[1].iou.value == 0


def test_doubtful_cells_count_as_much_as_the_ground_is_doubtful() -> None:
    cells = labelled([(0, 0, 0, 10), (0, FAR, 0, 10), (1, 2 * FAR, 0, 10), (1, 3 * FAR, 0, 10)])
    sure, doubtful = [0.95, 0.05], [0.45, 0.55]
    probabilities = np.array(([sure] * 9 + [doubtful]) * 2 + [[0.05, 0.95]] * 20, dtype=np.float32)
    ground = np.array(([sure] * 5 + [doubtful] * 5) * 10, dtype=np.float32)
    shares = np.array([0.5, 0.5])
    plain = make_report(cells, probabilities, classes="ab", map_shares=shares)
    fair = make_report(cells, probabilities, classes="ab", map_shares=shares, map_probabilities=ground)
    assert np.allclose(plain.confusion, [[0.45, 0.05], [0.0, 0.5]])
    # doubtful cells are 5 % of the polygons' and 50 % of the ground's: weighted by 4 at most, the others by ½ / 0.95
    wrong, right = 0.05 * 4, 0.45 * 0.5 / 0.95
    assert np.allclose(fair.confusion, [[0.5 * right / (wrong + right), 0.5 * wrong / (wrong + right)], [0.0, 0.5]])


def test_few_places_that_agree_are_no_certainty() -> None:
    few = report([[i // 3] for i in range(6)], [0, 0, 0, 1, 1, 1], [0.5, 0.5], resamples=100)
    many = report([[i // 40] for i in range(80)], [0] * 40 + [1] * 40, [0.5, 0.5], resamples=100)
    assert few.mean_iou is not None
    assert many.mean_iou is not None
    assert few.mean_iou.value == many.mean_iou.value == few.mean_iou.high == 1
    assert few.mean_iou.low < 0.75
    assert many.mean_iou.low > 0.8


def test_intervals_reach_further_down_than_up() -> None:
    labels = [[0] * 8 + [1] * 2] * 20 + [[1] * 8 + [0] * 2] * 20
    found = report(labels, [0] * 20 + [1] * 20, [0.5, 0.5], resamples=100)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(0.8)
    assert found.accuracy.low < 0.7
    assert found.accuracy.high < 0.85


def test_the_seed_decides_the_intervals_alone() -> None:
    first, again, other = (
        report([[0], [1], [0], [1], [1], [0]], [0, 0, 0, 1, 1, 1], [0.5, 0.5], seed=seed, resamples=50)
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first.confusion == other.confusion


@pytest.mark.parametrize("count", [3, 20])
def test_intervals_hold_the_truth_at_least_as_often_as_they_say(count: int) -> None:
    random, shares = np.random.default_rng(0), np.array([0.7, 0.3])
    recalls, held = np.array([0.9, 0.6]), []
    confusion = shares[:, None] * np.array([[0.9, 0.1], [0.4, 0.6]])
    truth = np.diag(confusion) / (confusion.sum(0) + confusion.sum(1) - np.diag(confusion))
    for _ in range(25):
        labels = []
        for label in (0, 1):
            own = random.beta(2 * recalls[label], 2 * (1 - recalls[label]), count)  # polygons differ much
            labels += [np.where(random.random(20) < one, label, 1 - label).tolist() for one in own]
        cells, probabilities = outcomes(labels, [0] * count + [1] * count)
        found = make_report(cells, probabilities, classes="ab", map_shares=shares, resamples=40)
        assert found.mean_iou is not None
        held.append(found.mean_iou.low <= truth.mean() <= found.mean_iou.high)
    assert np.mean(held) >= 0.85
