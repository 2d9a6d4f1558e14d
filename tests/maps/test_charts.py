import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from geodeeplab.errors import OptionError
from geodeeplab.maps import plot_confusion, plot_reliability, plot_scores
from geodeeplab.maps.charts import compact
from geodeeplab.maps.report import Page, ReliabilityBins, error_image, write_report
from tests.examples import few


def texts(ax: object) -> list[str]:
    return [one.get_text() for one in ax.texts]  # type: ignore[attr-defined]


def test_confusion_shows_shares_of_the_truth() -> None:
    ax = Figure().subplots()
    plot_confusion(np.array([[1500, 500], [0, 0]]), ["wood", "field"], ax=ax)
    assert texts(ax) == ["75%", "1.5k", "25%", "500"]
    assert [one.get_text() for one in ax.get_yticklabels()] == ["wood  (2.0k)", "field  (0)"]
    assert [one.get_text() for one in ax.get_xticklabels()] == ["wood", "field"]


def test_scores_leave_out_what_is_not_there() -> None:
    ax = Figure().subplots()
    plot_scores({"IoU": np.array([0.5, np.nan]), "recall": np.array([0.7, 0.2])}, ["wood", "field"], ax=ax)
    assert texts(ax) == ["0.50", "IoU"]
    legend = ax.get_legend()
    assert legend is not None
    assert [one.get_text() for one in legend.get_texts()] == ["IoU", "recall"]


def test_reliability_tells_where_the_pixels_are() -> None:
    ax = Figure().subplots()
    nan = np.nan
    plot_reliability(
        np.array([0, 0.25, 0.5, 1]), np.array([nan, 0.4, 0.9]), np.array([nan, 0.5, 0.8]), np.array([0, 1, 999]), ax=ax
    )
    assert texts(ax) == ["<1%", "100%"]


def test_charts_make_their_own_figure() -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("Agg")
    ax = plot_confusion(np.eye(3, dtype=np.int64), ["a", "b", "c"])
    assert ax.figure.axes == [ax]
    pyplot.close("all")


@pytest.mark.parametrize("classes", few([2, 1, 12], 1))
@pytest.mark.parametrize("with_reliability", [False, True])
def test_a_page(tmp_path: Path, classes: int, with_reliability: bool) -> None:
    rng = np.random.default_rng(classes)
    indices = rng.integers(0, classes, (40, 60)).astype(np.uint8)
    bins = ReliabilityBins(
        edges=np.linspace(0, 1, 3), confidence=np.array([0.3, 0.8]), accuracy=np.array([0.4, 0.7]),
        counts=np.array([5, 9]),
    )  # fmt: skip
    page = Page(
        title="A title",
        subtitle="labels against truth",
        headline=[("mean IoU", "0.5")],
        names=[f"class {i}" for i in range(classes)],
        colors=[(20 * i, 100, 200) for i in range(classes)],
        counts=rng.integers(0, 10_000, (classes, classes)),
        scores={"IoU": rng.random(classes)},
        columns={"IoU": ["0.500"] * classes},
        reliability=bins if with_reliability else None,
        labels=indices,
        truth=indices,
        wrong=rng.random((40, 60)),
        notes=["a note"],
    )
    path = write_report(page, tmp_path / "page.png")
    with Image.open(path) as image:
        assert image.width == 1560
        assert len(np.unique(np.asarray(image.convert("L")))) > 50
    assert [one.name for one in tmp_path.iterdir()] == ["page.png"]


def test_errors_are_red_and_no_truth_is_white() -> None:
    assert error_image(np.array([[0, 1, np.nan]])).tolist() == [[[226, 231, 235], [200, 85, 61], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1.0k"), (9949, "9.9k"), (12_400, "12k"), (3_400_000, "3.4M"),
                        (25_000_000_000, "25G")],
)  # fmt: skip
def test_counts_are_written_compactly(count: int, text: str) -> None:
    assert compact(count) == text


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"of 2 classes is square, not \(3, 3\)"):
        plot_confusion(np.eye(3, dtype=np.int64), ["a", "b"])
    with pytest.raises(OptionError, match="1 to 5 scores can be told apart in a chart, not 6"):
        plot_scores({str(i): np.ones(2) for i in range(6)}, ["a", "b"])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OptionError, match=r"pip install 'geodeeplab\[train\]'"):
        plot_confusion(np.eye(2, dtype=np.int64), ["a", "b"])
