"""`geodeeplab demo`."""

from pathlib import Path

import click

from geodeeplab.cli.progress import progress_bar, progress_option, tell_done
from geodeeplab.errors import OutputError, SceneError

SAMPLE = Path(__file__).parents[1] / "bundled" / "scene.tif"
"""Where the sample scene is in an installed package."""
IN_SOURCES = Path(__file__).parents[2] / "sample_data" / "scene.tif"
"""Where it is in the source tree, which editable installs run from."""


@click.command("demo")
@click.argument("scene", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder to fill.")
@progress_option
def command(scene: Path | None, out: Path) -> None:
    """Segment the sample scene (or SCENE) with the bundled model and show the areas of its classes."""
    from geodeeplab.cli.report import closing_line
    from geodeeplab.maps import write_preview
    from geodeeplab.pipeline.segment import segment

    scene = scene or (SAMPLE if SAMPLE.exists() else IN_SOURCES)
    if scene == IN_SOURCES and not scene.exists():
        raise SceneError(f"the sample scene is in the package, there is none at {SAMPLE}: install it again")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {out} cannot be made ({error.strerror}): choose another with --out") from error
    with progress_bar("segment") as progress:
        done = segment(
            scene, out / "landcover.gpkg", label_raster=out / "landcover.tif", overwrite=True, progress=progress
        )
    preview = write_preview(scene, out / "landcover.tif", out / "landcover.png", overwrite=True)
    click.echo(area_table(done.class_areas_m2()))
    click.echo(closing_line(done.facts))
    click.echo(f"look at {preview}")
    tell_done([*done.facts["outputs"], preview], done.facts)


def area_table(areas: dict[str, float]) -> str:
    """Lay out the classes with hectares and shares, largest first."""
    total = sum(areas.values()) or 1.0
    rows = sorted(areas.items(), key=lambda item: -item[1])
    return "\n".join(f"{name:<12}{area / 1e4:>10.2f} ha {100 * area / total:>5.1f} %" for name, area in rows)
