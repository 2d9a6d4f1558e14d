"""What several commands share: how lists of bands are written, and which files may be read."""

import click


def _enter_local_only(ctx: click.Context, _: click.Parameter, is_on: bool) -> None:
    if is_on and not ctx.resilient_parsing:
        from geodeeplab.raster.sources.local_only import local_files_only

        ctx.with_resource(local_files_only())


local_only_option = click.option(
    "--local-only",
    is_flag=True,
    expose_value=False,
    callback=_enter_local_only,
    help="Read no URLs, and no files outside the folders of those that are named.",
)
"""For every command that opens what users name; it holds while the command runs."""


def split_names(text: str | None) -> list[str] | None:
    """Split `red,green,blue` or `4,3,2` at the commas."""
    return None if text is None else [part.strip() for part in text.split(",")]
