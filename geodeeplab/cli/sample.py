"""`geodeeplab sample`."""

import json
from pathlib import Path

import click

from geodeeplab.cli.options import local_only_option
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_option, tell_done


@click.command("sample")
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--points", type=click.Path(path_type=Path), required=True, help="Points to write (.gpkg).")
@click.option("--labels-field", metavar="FIELD", help="Class of labels that are polygons.  [default: class_name]")
@click.option("--labels-encoding", metavar="NAME", help="Encoding of their text.  [default: as stated]")
@click.option("--like", type=click.Path(path_type=Path), help="Raster on whose pixels polygons are burned.")
@click.option("--background", metavar="CLASS", help="Class of ground that no polygon covers.")
@click.option(
    "--expected", metavar="CLASS=U", multiple=True,
    help="Share of a class's labels that are expected to be right; U alone for all.  [default: 0.8]",
)  # fmt: skip
@click.option(
    "--standard-error", type=float, default=0.01, show_default=True, help="That the overall accuracy is to have.",
)  # fmt: skip
@click.option("--least", type=click.IntRange(min=1), default=50, show_default=True, help="Points of each class.")
@click.option("-n", "--total", type=click.IntRange(min=1), help="Points in all, in place of a standard error.")
@click.option("--blind", is_flag=True, help="Leave out what the map says there.")
@click.option("--band", type=click.IntRange(min=1), default=1, show_default=True, help="Band of the labels.")
@click.option("--aoi", type=click.Path(path_type=Path), help="Vector file with the area of interest, in any CRS.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the points.")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the design as JSON.")
@local_only_option
def command(
    labels: Path,
    points: Path,
    labels_field: str | None,
    labels_encoding: str | None,
    like: Path | None,
    background: str | None,
    expected: tuple[str, ...],
    standard_error: float,
    least: int,
    total: int | None,
    blind: bool,
    band: int,
    aoi: Path | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Draw random points of each class of LABELS, a label raster or a layer of polygons, to say what is there.

    Fill in their field `truth`, and give them to `evaluate LABELS POINTS --class-field truth --is-sample`. Polygons are
    burned on the grid of --like, here and there.
    """
    from geodeeplab.pipeline.evaluating.sample import EXPECTED, sample

    with progress_bar("sample") as progress:
        design = sample(
            labels,
            points,
            labels_field=labels_field,
            labels_encoding=labels_encoding,
            like=like,
            background=background,
            expected=_shares(expected) if expected else EXPECTED,
            standard_error=standard_error,
            least=least,
            total=total,
            blind=blind,
            band=band,
            aoi=aoi,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    finish_undisturbed()
    tell_done([points], design.to_dict())
    click.echo(json.dumps(design.to_dict(), indent=2) if as_json else design.table())


def _shares(texts: tuple[str, ...]) -> float | dict[str | int, float]:
    """Read `0.8`, or `class=0.8` once for each."""
    shares: dict[str | int, float] = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError as error:
            raise click.BadParameter(f"'{text}' is not CLASS=U", param_hint="--expected") from error
        if not equals and len(texts) == 1:
            return value
        if not name:
            raise click.BadParameter(f"'{text}' is not CLASS=U", param_hint="--expected")
        shares[name] = value
    return shares
