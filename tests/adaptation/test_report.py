"""A report as text, in a notebook, as JSON, and beside an earlier one."""

import dataclasses
import json
from typing import Any

import pytest

from geodeeplab.adaptation.report import ClassScores, Report, Score
from geodeeplab.errors import ModelError


def scores(name: str, iou: Score | None, *, polygons: int = 20, places: int | None = None) -> ClassScores:
    places = polygons if places is None else places
    return ClassScores(
        name=name, polygons=polygons, places=places, map_share=0.25, iou=iou, f1=iou, precision=iou, recall=iou
    )


REPORT = Report(
    classes=(
        scores("<roof>", Score(value=0.61, low=0.5, high=0.7)),
        scores("land", Score(value=0.5, low=0.2, high=0.8)),
        scores("road", Score(value=0.31, low=0.1, high=0.5), polygons=9, places=3),
        scores("water", None, polygons=1),
    ),
    mean_iou=Score(value=0.473, low=0.36, high=0.55),
    accuracy=Score(value=0.8, low=0.7, high=0.9),
    confusion=((0.2, 0.1, 0.0, 0.0), (0.1, 0.2, 0.1, 0.0), (0.1, 0.1, 0.1, 0.0), (0.0, 0.0, 0.0, 0.0)),
    level=0.9,
)


def test_the_table_has_a_class_a_row_and_says_what_it_is() -> None:
    head, *rows = str(REPORT).splitlines()
    assert "90% interval" in head
    assert rows[0].split() == ["<roof>", "20", "20", "25.0%", "0.61", "0.50–0.70", "0.61", "0.61", "0.61"]
    assert rows[3].split() == ["water", "1", "1", "25.0%", "–", "–", "–", "–", "–"]
    assert rows[4].split() == ["mean", "0.47", "0.36–0.55"]
    assert rows[5] == "accuracy 0.80 (0.70–0.90) of the ground"
    assert "classes weighted by their share of the map" in rows[-1]


def test_draw_more_of_what_has_few_places_then_of_what_is_uncertain() -> None:
    assert [one.name for one in REPORT.draw_more] == ["water", "road", "land"]
    assert "draw more of: water (1 polygon), road (9 polygons in 3 places), land (20 polygons)" in str(REPORT)


def test_notebooks_get_a_table_in_which_names_are_no_markup() -> None:
    text = REPORT._repr_html_()
    assert "<th>&lt;roof&gt;</th>" in text
    assert "<roof>" not in text
    assert text.count("<tr>") == 6


def test_json_gives_the_same_report_back() -> None:
    assert Report.from_dict(json.loads(json.dumps(REPORT.to_dict()))) == REPORT


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": None},
        {"classes": [3]},
        {"level": "90"},
        {"level": float("nan")},
        {"level": True},
        {"mean_iou": [0.9, 0.95, 1]},
        {"mean_iou": [0.5, 0.4]},
        {"confusion": [[1.0]]},
        {"accuracy": [0.5, -1, 1]},
    ],
)
def test_whatever_is_no_report_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="no report of an adaptation"):
        Report.from_dict(REPORT.to_dict() | changes)


def test_infinitely_many_polygons_are_refused() -> None:
    found = REPORT.to_dict()
    found["classes"][0]["polygons"] = float("inf")
    with pytest.raises(ModelError, match="no report"):
        Report.from_dict(found)


def test_a_second_round_says_what_changed() -> None:
    road = scores("road", Score(value=0.45, low=0.3, high=0.6), polygons=14)
    water = scores("water", Score(value=0.9, low=0.6, high=1.0), polygons=6)
    later = dataclasses.replace(
        REPORT,
        classes=(*REPORT.classes[:1], road, water, scores("boat", None, polygons=1)),
        mean_iou=Score(value=0.65, low=0.5, high=0.75),
    )
    assert later.changes(REPORT).splitlines() == [
        "mean IoU 0.47 → 0.65 (0.50–0.75)",
        "accuracy 0.80 → 0.80 (0.70–0.90)",
        "<roof>: IoU 0.61 → 0.61 (0.50–0.70); 20 → 20 polygons",
        "road: IoU 0.31 → 0.45 (0.30–0.60); 9 → 14 polygons",
        "water: IoU – → 0.90 (0.60–1.00); 1 → 6 polygons",
        "boat: IoU – → –; 0 → 1 polygons",
        "land: no longer a class",
    ]
