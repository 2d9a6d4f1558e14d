import numpy as np

from seams import changes


def test_a_seam_shows_and_the_ground_does_not() -> None:
    labels = np.ones((10, 60), dtype=np.uint8)
    labels[:5, 30:] = 2  # half of the rows change between columns 29 and 30
    assert changes(labels, np.array([30])) == (0.5, 0.0)
    at, elsewhere = changes(labels, np.array([45]))
    assert at == 0.0
    assert elsewhere > 0
