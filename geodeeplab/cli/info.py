"""`geodeeplab info`."""

from pathlib import Path

import click


@click.command("info")
@click.argument("scene", type=click.Path(path_type=Path))
@click.option("--model", help="Check the scene against this bundled model or model file.")
@click.option("--bands", metavar="B,B,…", help="The scene's bands for the model's.")
def command(scene: Path, model: str | None, bands: str | None) -> None:
    """Show what SCENE holds, and whether a model can read it."""
    from geodeeplab.cli.options import split_names
    from geodeeplab.raster import open_scene

    with open_scene(scene, allow_palette=model is None) as opened:
        grid = opened.grid
        height, width = grid.shape
        click.echo(f"scene   {opened.path} ({opened.source.driver})")
        click.echo(f"size    {width} × {height} px, blocks of {opened.block_shape[1]} × {opened.block_shape[0]}")
        click.echo(f"crs     {grid.crs.to_string() if grid.crs else 'missing'}")
        click.echo(f"pixel   {grid.res[0]:g} × {grid.res[1]:g}" + _ground(grid.gsd_m))
        for band in opened.all_bands:
            nodata = "" if band.nodata is None else f", nodata {band.nodata:g}"
            click.echo(f"band {band.number:<3}{band.name} ({band.dtype}{nodata})")
        if model is None:
            return

        from geodeeplab.models import read_contract
        from geodeeplab.pipeline.fit import rescale_note, select_bands
        from geodeeplab.tiling import Lattice

        contract = read_contract(model)
        selected = select_bands(opened, contract, split_names(bands))
        lattice = Lattice(shape=selected.shape, tile_size=contract.tile_size, overlap=contract.overlap)
        tiles = lattice.rows.count * lattice.cols.count
        click.echo(f"model   {contract.name}: reads {', '.join(band.name for band in selected.bands)}")
        click.echo(f"tiles   {tiles} of {contract.tile_size} px at an overlap of {contract.overlap}")
        note = rescale_note(selected, contract)
        if note:
            click.echo(f"needs   {note}")


def _ground(gsd_m: tuple[float, float] | None) -> str:
    return "" if gsd_m is None else f" ({gsd_m[0]:.3g} × {gsd_m[1]:.3g} m on the ground)"
