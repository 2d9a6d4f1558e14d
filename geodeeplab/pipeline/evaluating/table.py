"""An evaluation as text for a terminal."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from geodeeplab.evaluation import Distances, mean_over_classes

if TYPE_CHECKING:
    from geodeeplab.pipeline.evaluating.result import Evaluation

NO_NUMBER = "–"


def table(found: "Evaluation") -> str:
    """Give the numbers of an evaluation as aligned columns, a class a row, and what is to be said about them below."""
    return "\n".join([*_class_rows(found), *(f"{name:<14}{text}" for name, text in _iter_lines(found))])


def _class_rows(found: "Evaluation") -> list[str]:
    """Give the classes that occur, with their scores."""
    heads, rows = ["class"], [[one.name] for one in found.classes]
    if found.counts is not None:
        heads += [
            "IoU",
            "precision",
            "recall",
            "F1",
            "boundary IoU",
            f"error {found.unit}",
            f"p95 {found.unit}",
            "truth px",
        ]
        for i, row in enumerate(rows):
            row += [
                share(scores[i]) for scores in (found.iou, found.precision, found.recall, found.f1, found.boundary_iou)
            ]
            row += [length(found.distances[i].mean), p95(found.distances[i])]
            row.append(f"{found.counts[i].sum():,}")
    if found.objects is not None:
        heads += ["objects F1", "PQ", "SQ", "AP", "AP50", "matched", "missed", "false"]
        for row, one in zip(rows, found.objects, strict=True):
            row += [share(score) for score in (one.f1, one.pq, one.mean_iou, one.ap, one.ap50)]
            row += [f"{count:,}" for count in (one.matched, one.missed, one.false)]
    rows = [row for i, row in enumerate(rows) if occurs(found, i)]
    if found.counts is not None:
        scores = (found.iou, found.precision, found.recall, found.f1, found.boundary_iou)
        last = ["mean", *(share(mean_over_classes(one)) for one in scores)]
        rows.append([*last, *[""] * (len(heads) - len(last))])
    return aligned([heads, *rows])


def occurs(found: "Evaluation", index: int) -> bool:
    """Tell whether a class is among what was compared: in the labels, the truth, or the objects of either."""
    counts, objects = found.counts, found.objects
    of_pixels = counts is not None and bool(counts[index].sum() + counts[:, index].sum() + found.missed[index])
    one = None if objects is None else objects[index]
    return of_pixels or (one is not None and one.matched + one.missed + one.false > 0)


def _iter_lines(found: "Evaluation") -> Iterator[tuple[str, str]]:
    if found.counts is not None:
        yield "accuracy", f"{share(found.accuracy)} of {found.counts.sum():,} px; kappa {share(found.kappa)}"
    if found.counts is not None and not math.isnan(found.mean_boundary_iou):
        metres = "" if found.gsd_m is None else f", {found.distance_px * math.sqrt(math.prod(found.gsd_m)):.3g} m"
        yield "boundary IoU", f"of bands {found.distance_px} px wide{metres}; mean {share(found.mean_boundary_iou)}"
        beyond = max((one.share_beyond for one in found.distances if one.total), default=math.nan)
        maximum = found.distances[0].maximum
        looked = f"distance between boundaries, looked for up to {maximum:.3g} {found.unit}"
        yield "error", f"{looked}; farther off: up to {beyond:.0%} of a class"
    if found.counts is not None:
        if found.missed.sum():
            total = found.missed.sum() + found.counts.sum()
            yield (
                "without label",
                (
                    f"{found.missed.sum():,} px of the truth ({found.missed.sum() / total:.1%}), "
                    f"counted {'as wrong' if found.missed_is_wrong else 'nowhere'}"
                ),
            )
    if found.objects is not None:
        unjudged = sum(one.unjudged for one in found.objects)
        yield "objects", f"matched at an IoU above {found.object_iou:g}; {unjudged:,} where there is no truth left out"
        yield "PQ", "panoptic quality, SQ · RQ: mean IoU of the matched, and F1"
        yield "AP", f"mean over IoUs of 0.5 to 0.95; {scored(found)}"
    if found.calibration is not None:
        one = found.calibration
        way = "too sure" if one.overconfidence > 0 else "not sure enough"
        yield "calibration", f"ECE {share(one.ece)}; on average {abs(one.overconfidence):.3f} {way}"
    if found.area_estimate is not None:
        yield from (("area", line) for line in _area_lines(found))
    yield from (("note", note) for note in found.facts.get("notes", []))


def scored(found: "Evaluation") -> str:
    """Say by what average precision has ordered the objects."""
    if found.objects and any(one.is_scored for one in found.objects):
        return "objects by their mean confidence"
    return "without a confidence of objects, so all are believed alike"


def _area_lines(found: "Evaluation") -> Iterator[str]:
    assert found.area_estimate is not None
    one = found.area_estimate
    yield f"by area {share(one.accuracy)} ± {share(one.accuracy_margin)} of the map is right"
    for i, each in enumerate(found.classes):
        if occurs(found, i):
            yield (
                f"{each.name}: mapped {one.mapped[i] / 1e4:,.2f} ha, adjusted {one.adjusted[i] / 1e4:,.2f} "
                f"± {one.margin[i] / 1e4:,.2f} ha"
            )


def share(value: float) -> str:
    """Write a share down."""
    return NO_NUMBER if math.isnan(value) else f"{value:.3f}"


def median(one: Distances) -> str:
    """Write down the distance that half of a boundary stays within."""
    return _quantile(one, 0.5)


def p95(one: Distances) -> str:
    """Write down the distance that 95 % of a boundary stays within."""
    return _quantile(one, 0.95)


def _quantile(one: Distances, share: float) -> str:
    """Write a quantile down; one beyond the maximum as ">" that."""
    value = one.quantile(share)
    return f">{one.maximum:.3g}" if math.isinf(value) else length(value)


def length(value: float) -> str:
    """Write a distance down."""
    return NO_NUMBER if math.isnan(value) else f"{value:.2f}"


def aligned(rows: list[list[str]]) -> list[str]:
    """Give rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
