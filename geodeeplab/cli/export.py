"""`geodeeplab export`."""

from pathlib import Path

import click

from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_option, tell_done


@click.command("export")
@click.argument("model")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write (.onnx).")
@click.option(
    "--tile-size", type=click.IntRange(min=1), help="Pixels of a tile along each axis.  [default: the model's]"
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Tiles per forward, fixed in the file.  [default: any]")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@progress_option
def command(model: str, output: Path, tile_size: int | None, batch_size: int | None, overwrite: bool) -> None:
    """Write the bundled model or model file MODEL as ONNX, with normalisation and PointRend inside."""
    from geodeeplab.models import export_onnx, find_model, load_model
    from geodeeplab.raster import check_output

    path = check_output(output, suffixes=[".onnx"], overwrite=overwrite, inputs=[find_model(model)])
    loaded = load_model(model)
    export_onnx(loaded.network, loaded.contract, path, tile_size=tile_size, batch_size=batch_size)
    finish_undisturbed()
    click.echo(path)
    tell_done([path], None)
