"""`--map`: a map of the result for the browser, of the commands that make labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

map_option = click.option(
    "--map", "map_path", type=click.Path(path_type=Path), help="Map of the result for the browser (.html)."
)


def check_map(
    path: Path,
    outputs: Mapping[str, str | Path | None],
    *,
    inputs: Sequence[str | Path],
    is_batch: bool,
    overwrite: bool,
) -> None:
    """Refuse before any work a map that cannot be made.

    Args:
        path: the map.
        outputs: what else is written, by name.
        inputs: files that must stay as they are.
        is_batch: whether several scenes have results of their own.
        overwrite: whether a file that exists is replaced.

    Raises:
        UsageError: it is of several scenes, or shows nothing.
        OptionError, OutputError: it cannot be written there.
    """
    from geodeeplab.maps.web import MAP_SUFFIXES
    from geodeeplab.raster import check_distinct, check_output

    if is_batch:
        raise click.UsageError("--map is for the result of one scene: make others with `geodeeplab map`")
    if not (outputs.get("polygons") or outputs.get("label_raster")):
        raise click.UsageError("--map shows labels or polygons: give -o or --label-raster, too")
    check_output(path, suffixes=MAP_SUFFIXES, overwrite=overwrite, inputs=inputs)
    check_distinct([path, *(one for one in outputs.values() if one)])
