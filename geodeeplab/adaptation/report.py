"""What polygons alone say about a map: scores with intervals, as text, as a table in notebooks, and as JSON."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from geodeeplab.errors import ModelError
from geodeeplab.pipeline.evaluating.table import NO_NUMBER, aligned

ENOUGH_PLACES = 5
"""Fewer places say hardly more than that a class exists."""
WIDE = 0.3
"""An interval of an IoU that is wider says little."""
SCORES = ("iou", "f1", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Score:
    """An estimate, and the interval that is meant to hold the truth."""

    value: float
    """From 0 to 1."""
    low: float
    """Lower end, at most `value`."""
    high: float
    """Upper end, at least `value`."""

    def __str__(self) -> str:
        """Give the number and its interval."""
        return f"{self.value:.2f} ({self.interval})"

    @property
    def interval(self) -> str:
        """Both ends, as text."""
        return f"{self.low:.2f}–{self.high:.2f}"


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """What is known of one class. Scores are None where it could not be tested."""

    name: str
    """Name of the class."""
    polygons: int
    """Polygons of it."""
    places: int
    """What of them is left out together counts once: polygons of the class that lie near each other."""
    map_share: float
    """Share of the finished map, from 0 to 1."""
    iou: Score | None
    """Intersection over union."""
    f1: Score | None
    """Harmonic mean of precision and recall."""
    precision: Score | None
    """Share of the class's labels that are right."""
    recall: Score | None
    """Share of the class's ground that is found."""

    @property
    def drawn(self) -> str:
        """How much of it was drawn, as text."""
        text = f"{self.polygons} polygon{'s' * (self.polygons != 1)}"
        return text if self.places == self.polygons else f"{text} in {self.places} place{'s' * (self.places != 1)}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """How good a map is, as far as its own polygons tell: each is scored by a head that has not seen it.

    Every polygon counts the same within its class, and every class as its share of the finished map. Polygons that lie
    well inside their objects flatter: nobody drew the edges.
    """

    classes: tuple[ClassScores, ...]
    """K classes, in the order of the confusion."""
    mean_iou: Score | None
    """Mean IoU of the classes that were tested; None where none was."""
    accuracy: Score | None
    """Share of the map that is right; None likewise."""
    confusion: tuple[tuple[float, ...], ...]
    """(K, K) shares of the ground, the truth by row; they add up to 1. The row of a class not tested is 0."""
    level: float
    """Share of intervals that are meant to hold the truth."""

    @property
    def draw_more(self) -> tuple[ClassScores, ...]:
        """Classes to draw more of, the neediest first.

        Those with fewer than `ENOUGH_PLACES` places, then those with an interval wider than `WIDE`.
        """
        few = sorted((one for one in self.classes if one.places < ENOUGH_PLACES), key=lambda one: one.places)
        wide = [one for one in self.classes if one not in few and one.iou and one.iou.high - one.iou.low > WIDE]
        return (*few, *sorted(wide, key=lambda one: one.iou.low - one.iou.high if one.iou else 0.0))

    def changes(self, since: Self) -> str:
        """Say in a few lines what differs from an earlier report, class by class."""
        before = {one.name: one for one in since.classes}
        lines = [f"mean IoU {_pair(since.mean_iou, self.mean_iou)}", f"accuracy {_pair(since.accuracy, self.accuracy)}"]
        for one in self.classes:
            old = before.pop(one.name, None)
            drawn = f"{old.polygons if old else 0} → {one.polygons} polygons"
            lines.append(f"{one.name}: IoU {_pair(old.iou if old else None, one.iou)}; {drawn}")
        lines += [f"{name}: no longer a class" for name in before]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as what JSON knows, for `from_dict`."""
        return {
            "measured_on": "polygons left out of the training, together with those nearby",
            "level": self.level,
            "mean_iou": _to_list(self.mean_iou),
            "accuracy": _to_list(self.accuracy),
            "classes": [
                {"name": one.name, "polygons": one.polygons, "places": one.places, "map_share": one.map_share}
                | {name: _to_list(getattr(one, name)) for name in SCORES}
                for one in self.classes
            ],
            "confusion": [list(row) for row in self.confusion],
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave, from a file that may come from anybody.

        Raises:
            ModelError: it is something else.
        """
        try:
            classes = tuple(_class_from(one) for one in found["classes"])
            confusion = tuple(tuple(_number(value) for value in row) for row in found["confusion"])
            if [len(row) for row in confusion] != [len(classes)] * len(classes):
                raise ValueError(f"the confusion of {len(classes)} classes has as many rows and columns")
            return cls(
                classes=classes,
                mean_iou=_score_from(found["mean_iou"]),
                accuracy=_score_from(found["accuracy"]),
                confusion=confusion,
                level=_number(found["level"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"{type(error).__name__}: {str(error)[:80]}"
            raise ModelError(f"this is no report of an adaptation ({reason}): save the model again") from error

    def __str__(self) -> str:
        """Give a table for a terminal, a class a row, and what is to be said about it below."""
        return "\n".join([*aligned(self._rows()), *self._lines()])

    def _repr_html_(self) -> str:
        """Give the same for a notebook."""
        head, *rows = [[html.escape(cell) for cell in row] for row in self._rows()]
        body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
        heads = "".join(f"<th>{cell}</th>" for cell in head)
        below = "<br>".join(html.escape(line) for line in self._lines())
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table><p>{below}</p>"

    def _rows(self) -> list[list[str]]:
        interval = f"{self.level:.0%} interval"
        rows = [["class", "polygons", "places", "of the map", "IoU", interval, "F1", "precision", "recall"]]
        for one in self.classes:
            scores = [_value(score) for score in (one.f1, one.precision, one.recall)]
            counts = [str(one.polygons), str(one.places), f"{one.map_share:.1%}"]
            rows.append([one.name, *counts, _value(one.iou), one.iou.interval if one.iou else NO_NUMBER, *scores])
        mean = self.mean_iou
        return [*rows, ["mean", "", "", "", _value(mean), mean.interval if mean else NO_NUMBER, "", "", ""]]

    def _lines(self) -> Iterator[str]:
        if self.accuracy:
            yield f"accuracy {self.accuracy} of the ground"
        if self.draw_more:
            yield f"draw more of: {', '.join(f'{one.name} ({one.drawn})' for one in self.draw_more)}"
        untested = [one.name for one in self.classes if one.iou is None]
        if untested:
            yield f"not tested, and in no mean, as all there is lies in one place: {', '.join(untested)}"
        yield (
            "each polygon scored without it and those nearby; each the same within its class; "
            "classes weighted by their share of the map; polygons well inside their objects flatter"
        )


def _value(score: Score | None) -> str:
    return NO_NUMBER if score is None else f"{score.value:.2f}"


def _pair(old: Score | None, new: Score | None) -> str:
    return f"{_value(old)} → {_value(new)}" + (f" ({new.interval})" if new else "")


def _to_list(score: Score | None) -> list[float] | None:
    return None if score is None else [score.value, score.low, score.high]


def _class_from(found: Mapping[str, Any]) -> ClassScores:
    if not isinstance(found["name"], str):
        raise TypeError("the name of a class is text")
    polygons, places = (int(_number(found[name], most=math.inf)) for name in ("polygons", "places"))
    scores = {name: _score_from(found[name]) for name in SCORES}
    map_share = _number(found["map_share"])
    return ClassScores(name=found["name"], polygons=polygons, places=places, map_share=map_share, **scores)


def _score_from(found: Sequence[Any] | None) -> Score | None:
    if found is None:
        return None
    value, low, high = (_number(one) for one in found)
    if not low <= value <= high:
        raise ValueError("a score lies within its interval")
    return Score(value=value, low=low, high=high)


def _number(value: Any, *, most: float = 1 + 1e-6) -> float:  # noqa: ANN401 - whatever is in the file
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError("shares and scores are numbers of 0 to 1")
    return float(value)
