import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.evaluation import boundary_counts, confusion_matrix
from geodeeplab.training import IGNORE_INDEX
from geodeeplab.training.loop.counting import boundary_band_counts, confusion_counts
from geodeeplab.training.loop.tally import BOUNDARY_PX, GrowingTally


@given(
    st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(2, 5), st.integers(1, 4)
)
def test_counts_are_those_of_the_evaluation(
    seed: int, chips: int, height: int, width: int, classes: int, distance: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (chips, height, width), generator=rng)
    truth = torch.randint(0, classes, (chips, height, width), generator=rng).to(torch.uint8)
    truth[torch.rand(truth.shape, generator=rng) < 0.2] = IGNORE_INDEX
    pairs = list(zip(labels.numpy(), truth.numpy(), strict=True))
    matrices = [confusion_matrix(*pair, class_ids=range(classes), ignore=IGNORE_INDEX) for pair in pairs]
    np.testing.assert_array_equal(confusion_counts(labels, truth, classes=classes).numpy(), np.stack(matrices))
    bands = [boundary_counts(*pair, class_ids=range(classes), distance=distance, ignore=IGNORE_INDEX) for pair in pairs]
    counts = boundary_band_counts(labels, truth, classes=classes, distance=distance)
    np.testing.assert_array_equal(counts.numpy(), np.sum(bands, axis=0))


def test_batches_add_up_to_the_whole() -> None:
    rng = torch.Generator().manual_seed(3)
    labels, truth = torch.randint(0, 3, (2, 5, 12, 12), generator=rng)
    whole, parts = GrowingTally(3, torch.device("cpu")), GrowingTally(3, torch.device("cpu"))
    by_chip = whole.add(labels, truth)
    again = torch.cat([parts.add(labels[:2], truth[:2]), parts.add(labels[2:], truth[2:])])
    assert torch.equal(by_chip, again)
    one, other = whole.finish(), parts.finish()
    np.testing.assert_array_equal(one.confusion, other.confusion)
    np.testing.assert_array_equal(one.boundary, other.boundary)
    assert one.accuracy == int((labels == truth).sum()) / labels.numel()
    expected = boundary_counts(labels[0].numpy(), truth[0].numpy(), class_ids=range(3), distance=BOUNDARY_PX)
    alone = GrowingTally(3, torch.device("cpu"))
    alone.add(labels[:1], truth[:1])
    np.testing.assert_array_equal(alone.finish().boundary, expected)
