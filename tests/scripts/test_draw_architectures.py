import re
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from draw_architectures import (
    FIGURES,
    PAGE,
    TABLES,
    draw,
    figure_path,
    fill,
    published_row,
    read_table,
)
from figures.parts import save_svg
from geodeeplab.models import PUBLISHED
from tests.examples import few

QUICK = [name for name in PUBLISHED if "vgg16" in name] + ["deeplabv3_mobilenet_v3_large"]


def written(figure: Figure) -> list[str]:
    """List the lines of text in a figure, without the empty ones."""
    lines = (line for ax in figure.axes for text in ax.texts for line in text.get_text().splitlines())
    return sorted(line.strip() for line in lines if line.strip())


def collisions(figure: Figure) -> list[str]:
    """List the texts that leave the figure, and the pairs that overlap."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    texts = [text for ax in figure.axes for text in ax.texts if text.get_text().strip()]
    boxes = [text.get_window_extent(renderer).padded(-1) for text in texts]
    names = [text.get_text() for text in texts]
    out = [
        f"{name} leaves the figure"
        for name, box in zip(names, boxes, strict=True)
        if min(box.x0, box.y0) < 0 or box.x1 > figure.bbox.x1 or box.y1 > figure.bbox.y1
    ]
    pairs = ((i, j) for i in range(len(texts)) for j in range(i))
    return out + [f"{names[i]} overlaps {names[j]}" for i, j in pairs if boxes[i].overlaps(boxes[j])]


def test_the_page_shows_every_figure_once() -> None:
    shown = re.findall(r"\]\(images/(line-[^)]*)\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(figure_path(name).name for name in FIGURES)


@pytest.mark.parametrize("name", few(FIGURES, 3))
def test_figures_are_up_to_date_and_no_text_overlaps(name: str) -> None:
    figure = draw(name)
    assert collisions(figure) == []
    stored = figure_path(name).read_text(encoding="utf-8")
    texts = sorted(comment.strip() for comment in re.findall(r"<!--(.*?)-->", stored, flags=re.DOTALL))
    assert texts == written(figure), "run scripts/draw_architectures.py"
    assert len(stored) < 100_000


def test_a_figure_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        save_svg(draw("fcn"), path)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_overlaps_are_found() -> None:
    figure = draw("fcn")
    figure.axes[0].text(0.15, 0.55, "on top")
    figure.axes[0].text(7.1, 1.0, "beyond")
    assert "beyond leaves the figure" in collisions(figure)
    assert any("on top overlaps" in found for found in collisions(figure))


def test_the_table_of_published_networks_lists_them_all_as_the_catalogue_has_them() -> None:
    rows = read_table(PAGE.read_text(encoding="utf-8"), "published").splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    expected = [(f"`{name}`", published.mean_iou) for name, published in PUBLISHED.items()]
    assert [(row[0], row[-1]) for row in cells] == expected


@pytest.mark.parametrize("name", few(QUICK, 4))
def test_costs_in_the_table_are_those_of_the_networks(name: str) -> None:
    assert published_row(name) in read_table(PAGE.read_text(encoding="utf-8"), "published").splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_up_to_date(name: str) -> None:
    assert read_table(PAGE.read_text(encoding="utf-8"), name) == TABLES[name](), "run scripts/draw_architectures.py"


def test_a_table_is_replaced_and_nothing_else() -> None:
    page = PAGE.read_text(encoding="utf-8")
    changed = fill(page, "pairs", "| a | b |")
    assert read_table(changed, "pairs") == "| a | b |"
    assert fill(changed, "pairs", read_table(page, "pairs")) == page
