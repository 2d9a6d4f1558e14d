import pytest

from geodeeplab.maps.figures import new_figure


def test_a_figure_shows_itself_without_pyplot() -> None:
    pytest.importorskip("matplotlib")
    figure = new_figure(2, 1)
    figure.subplots().plot([0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
