"""`geodeeplab evaluate`."""

from pathlib import Path

import click

from geodeeplab.cli.options import local_only_option
from geodeeplab.cli.progress import progress_bar, progress_option, tell_done


@click.command("evaluate")
@click.argument("labels", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--class-field", metavar="FIELD", help="Field of the truth's polygons with the class's name or id.")
@click.option("--truth-class", metavar="CLASS", help="Class of all of the truth's polygons, in place of a field.")
@click.option("--truth-layer", metavar="NAME", help="Layer of the truth's file, where there are several.")
@click.option("--truth-encoding", metavar="NAME", help="Encoding of its text, such as cp1252.  [default: as stated]")
@click.option("--map", "classes", metavar="VALUE=CLASS", multiple=True, help="Class that a value of the truth means.")
@click.option("--ignore", metavar="VALUE", multiple=True, help="Value of the truth whose ground counts nowhere.")
@click.option("--background", metavar="CLASS", help="Class of ground that no polygon of the truth covers.")
@click.option("--all-touched", is_flag=True, help="Polygons cover every pixel they touch, not only centres.")
@click.option(
    "--on-overlap", type=click.Choice(["last", "smallest", "ignore"]), default="last", show_default=True,
    help="Which of the truth's overlapping polygons counts.",
)  # fmt: skip
@click.option("--labels-field", metavar="FIELD", help="Class of labels that are polygons.  [default: class_name]")
@click.option("--labels-encoding", metavar="NAME", help="Encoding of their text.  [default: as stated]")
@click.option("--like", type=click.Path(path_type=Path), help="Raster on whose pixels polygons are compared.")
@click.option("--aoi", type=click.Path(path_type=Path), help="Vector file with the area of interest, in any CRS.")
@click.option("--confidence", type=click.Path(path_type=Path), help="Confidence raster of the labels: calibration.")
@click.option("--distance-px", type=click.IntRange(min=1), help="Bands of the boundary IoU.  [default: 3]")
@click.option("--distance-m", type=float, help="The same in metres, rounded to whole pixels.")
@click.option(
    "--error-max-px", type=click.IntRange(min=1), default=50, show_default=True,
    help="How far boundaries are looked for.",
)  # fmt: skip
@click.option("--objects", is_flag=True, help="Compare polygons too: precision, recall and F1 of objects.")
@click.option("--object-iou", type=float, default=0.5, show_default=True, help="Objects match above this IoU.")
@click.option("--missed-is-wrong", is_flag=True, help="Truth without a label counts as wrong, not nowhere.")
@click.option("--is-sample", is_flag=True, help="The truth is a random sample of the labels: estimate true areas.")
@click.option("--report", type=click.Path(path_type=Path), help="One page with tables and figures (.png).")
@click.option("--statuses", type=click.Path(path_type=Path), help="Objects, matched, missed or false (.gpkg).")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@local_only_option
def command(
    labels: Path,
    truth: Path,
    class_field: str | None,
    truth_class: str | None,
    truth_layer: str | None,
    truth_encoding: str | None,
    classes: tuple[str, ...],
    ignore: tuple[str, ...],
    background: str | None,
    all_touched: bool,
    on_overlap: str,
    labels_field: str | None,
    labels_encoding: str | None,
    like: Path | None,
    aoi: Path | None,
    confidence: Path | None,
    distance_px: int | None,
    distance_m: float | None,
    error_max_px: int,
    objects: bool,
    object_iou: float,
    missed_is_wrong: bool,
    is_sample: bool,
    report: Path | None,
    statuses: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure LABELS against TRUTH, each a raster or a layer of polygons: pixels, boundaries, objects, calibration.

    LABELS is what `segment` wrote, or any label raster; TRUTH is a raster on any grid or polygons in any CRS. Ground
    without truth counts nowhere, unless --background says what is there.
    """
    from geodeeplab.pipeline.evaluating.evaluate import evaluate

    with progress_bar("evaluate") as progress:
        found = evaluate(
            labels,
            truth,
            class_field=class_field,
            truth_class=truth_class,
            truth_layer=truth_layer,
            truth_encoding=truth_encoding,
            classes=split_pairs(classes),
            ignore=ignore,
            background=background,
            all_touched=all_touched,
            on_overlap=on_overlap,  # type: ignore[arg-type] # one of the choices
            labels_field=labels_field,
            labels_encoding=labels_encoding,
            like=like,
            aoi=aoi,
            confidence=confidence,
            distance_px=distance_px,
            distance_m=distance_m,
            error_max_px=error_max_px,
            objects=objects,
            object_iou=object_iou,
            missed_is_wrong=missed_is_wrong,
            is_sample=is_sample,
            report=report,
            statuses=statuses,
            overwrite=overwrite,
            progress=progress,
        )
    tell_done([report, statuses], found.to_dict())
    click.echo(found.to_json() if as_json else found.table())


def split_pairs(texts: tuple[str, ...]) -> dict[str | int, str | int]:
    """Split each `value=class` at its last equals sign."""
    pairs: dict[str | int, str | int] = {}
    for text in texts:
        value, equals, name = text.rpartition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{text}' is not VALUE=CLASS", param_hint="--map")
        pairs[value] = name
    return pairs
