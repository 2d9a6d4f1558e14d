"""`geodeeplab export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_option, tell_done

if TYPE_CHECKING:
    from geodeeplab.models import Target


@click.command("export")
@click.argument("model")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write (.onnx, or .json).")
@click.option(
    "--for",
    "target",
    type=click.Choice(["plain", "deepness", "geodeep"]),
    default="plain",
    show_default=True,
    help="Whom the file is for: any runtime, the QGIS plugin Deepness, or GeoDeep.",
)
@click.option(
    "--resolution",
    "resolution_cm",
    type=float,
    metavar="CM",
    help="Centimetres a pixel at which Deepness or GeoDeep shall run it.  [default: the model's]",
)
@click.option(
    "--tile-size", type=click.IntRange(min=1), help="Pixels of a tile along each axis.  [default: the model's]"
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Tiles per forward, fixed in the file.  [default: any]")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@progress_option
def command(
    model: str,
    output: Path,
    target: "Target",
    resolution_cm: float | None,
    tile_size: int | None,
    batch_size: int | None,
    overwrite: bool,
) -> None:
    """Write the bundled model or model file MODEL as ONNX, with normalisation and PointRend inside.

    Into a .json file a STAC item of the model is written, for catalogues.
    """
    from geodeeplab.models import check_target, find_model, read_contract, write_stac_item
    from geodeeplab.raster import check_output

    path = check_output(output, suffixes=[".onnx", ".json"], overwrite=overwrite, inputs=[find_model(model)])
    if path.suffix.lower() == ".json":
        if target != "plain" or (resolution_cm, tile_size, batch_size) != (None, None, None):
            raise click.UsageError("a STAC item (.json) takes none of --for, --resolution, --tile-size, --batch-size")
        write_stac_item(model, path)
        click.echo(path)
        tell_done([path], None)
        return
    check_target(read_contract(model), target, resolution_cm=resolution_cm)  # before torch is loaded
    from geodeeplab.models import export_onnx, load_model

    loaded = load_model(model)
    export_onnx(
        loaded.network,
        loaded.contract,
        path,
        tile_size=tile_size,
        batch_size=batch_size,
        target=target,
        resolution_cm=resolution_cm,
    )
    finish_undisturbed()
    click.echo(path)
    tell_done([path], None)
