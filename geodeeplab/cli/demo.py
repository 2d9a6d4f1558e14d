"""`geodeeplab demo`."""

from pathlib import Path

import click

from geodeeplab.errors import OutputError, SceneError

SAMPLE = Path(__file__).parents[2] / "sample_data" / "scene.tif"


@click.command("demo")
@click.argument("scene", type=click.Path(path_type=Path), default=SAMPLE, required=False)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder to fill.")
def command(scene: Path, out: Path) -> None:
    """Segment the sample scene (or SCENE) with the bundled model and show the areas of its classes."""
    from geodeeplab.cli.options import progress_bar
    from geodeeplab.cli.report import closing_line
    from geodeeplab.maps import write_preview
    from geodeeplab.pipeline.segment import segment

    if scene == SAMPLE and not scene.exists():
        raise SceneError(f"the sample scene comes with the source tree, there is none at {scene}: give a scene")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {out} cannot be made ({error.strerror}): choose another with --out") from error
    with progress_bar() as progress:
        done = segment(
            scene, out / "landcover.gpkg", label_raster=out / "landcover.tif", overwrite=True, progress=progress
        )
    preview = write_preview(scene, out / "landcover.tif", out / "landcover.png", overwrite=True)
    click.echo(area_table(done.class_areas_m2()))
    click.echo(closing_line(done.facts))
    click.echo(f"look at {preview}")


def area_table(areas: dict[str, float]) -> str:
    """Lay out the classes with hectares and shares, largest first."""
    total = sum(areas.values()) or 1.0
    rows = sorted(areas.items(), key=lambda item: -item[1])
    return "\n".join(f"{name:<12}{area / 1e4:>10.2f} ha {100 * area / total:>5.1f} %" for name, area in rows)
