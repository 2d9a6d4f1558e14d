import sys
from types import SimpleNamespace

import pytest

from geodeeplab.maps.figures import new_figure, show_below_cell


def test_a_figure_shows_itself_without_pyplot() -> None:
    pytest.importorskip("matplotlib")
    figure = new_figure(2, 1)
    figure.subplots().plot([0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_figure_is_shown_below_the_cell_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    shown: list[object] = []
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown.append))
    figure = new_figure(2, 1)
    show_below_cell(figure)
    assert shown == []
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    show_below_cell(figure)
    assert shown == [figure]
