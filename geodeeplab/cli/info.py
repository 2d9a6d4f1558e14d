"""`geodeeplab info`."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from geodeeplab.cli.options import local_only_option
from geodeeplab.cli.run_options import run_options
from geodeeplab.cli.text import as_options

if TYPE_CHECKING:
    from geodeeplab.models.appearance import SceneDistance
    from geodeeplab.pipeline.info.forecast import Forecast
    from geodeeplab.pipeline.info.preflight import ModelFit, Preflight
    from geodeeplab.pipeline.info.scene_facts import SceneFacts
    from geodeeplab.pipeline.run_options import RunOptions
    from geodeeplab.raster import Band

POOR = 0.75
"""Share of pixels right that a model is to expect, or `adapt` is the better choice."""


@click.command("info")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option("--model", help="Check the scene against this bundled model or model file.")
@run_options
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@local_only_option
def command(
    scenes: tuple[str, ...],
    model: str | None,
    options: "RunOptions",
    as_json: bool,
) -> None:
    """Show what SCENE holds, and with --model what `segment` needs and will take, from a timed forward pass.

    Several SCENEs are one mosaic, earlier ones on top. What the scene lacks for the model is said after `needs`; the
    exit status is 0 then, too.
    """
    from geodeeplab.pipeline.info.preflight import preflight

    if model is not None:
        options["model"] = model
    found = preflight(scenes[0] if len(scenes) == 1 else scenes, **options)
    click.echo(found.to_json() if as_json else "\n".join(f"{name:<8}{text}" for name, text in _iter_lines(found)))


def _iter_lines(found: "Preflight") -> Iterator[tuple[str, str]]:
    """Yield all lines as name and text."""
    yield from _iter_scene_lines(found.scene)
    if found.model is not None:
        yield from _iter_model_lines(found.model, found.scene)
    yield from _iter_usefulness_lines(found.distance, found.expected_accuracy)
    if found.run is not None:
        yield from _iter_run_lines(found.run)
    yield from (("note", as_options(note)) for note in found.notes)
    yield from (("needs", as_options(need)) for need in found.needs)


def _iter_scene_lines(scene: "SceneFacts") -> Iterator[tuple[str, str]]:
    kind = [scene.driver, scene.compression, None if scene.file_bytes is None else bytes_text(scene.file_bytes)]
    files = f", {len(scene.files)} files" if len(scene.files) > 1 else ""
    yield "scene", f"{scene.path} ({', '.join(filter(None, kind))}{files})"
    (height, width), (block_height, block_width) = scene.shape, scene.block_shape
    count = len(scene.overviews)
    overviews = f", {count} overview{'s' if count > 1 else ''}" if count else ""
    yield "size", f"{width} × {height} px, blocks of {block_width} × {block_height}{overviews}"
    yield "crs", scene.crs or "missing"
    ground = "" if scene.gsd_m is None else f" ({scene.gsd_m[0]:.3g} × {scene.gsd_m[1]:.3g} m on the ground)"
    yield "pixel", f"{scene.res[0]:g} × {scene.res[1]:g}{ground}"
    yield from ((f"band {band.number:<3}", _band_text(band)) for band in scene.bands)
    yield "valid", scene.valid


def _band_text(band: "Band") -> str:
    nodata = "" if band.nodata is None else f", nodata {band.nodata:g}"
    is_scaled = (band.scale, band.offset) != (1.0, 0.0)
    sign = "−" if band.offset < 0 else "+"
    scaled = f", × {band.scale:g} {sign} {abs(band.offset):g}" if is_scaled else ""
    use = ", left out: it says where pixels are valid" if band.is_alpha else ""
    use = ", flagged alpha but holds data" if band.was_alpha else use
    return f"{band.name} ({band.dtype}{nodata}{scaled}{use})"


def _iter_model_lines(model: "ModelFit", scene: "SceneFacts") -> Iterator[tuple[str, str]]:
    names = {band.number: band.name for band in scene.bands}
    reads = list(model.reads)
    if model.scene_bands is not None:
        pairs = zip(model.reads, model.scene_bands, strict=True)
        reads = [
            read if names[number].casefold() == read.casefold() else f"{read} (band {number})" for read, number in pairs
        ]
    yield "model", f"{model.name}: reads {', '.join(reads)} ({model.dtype}), gives {', '.join(model.classes)}"
    if model.gsd_m is None:
        yield "gsd", "the model does not state the pixel size of its training scenes"
    elif scene.gsd_m is None:
        yield "gsd", f"the model's {model.gsd_m:.3g} m, the scene's is not known"
    else:
        own = " × ".join(f"{one:.3g}" for one in dict.fromkeys(scene.gsd_m))
        scaled = "" if model.seen_gsd_m is None else f", scaled to {model.seen_gsd_m:.3g} m"
        yield "gsd", f"the model's {model.gsd_m:.3g} m, the scene's {own} m{scaled}"
    if model.limits is not None:
        low, high = model.value_range
        limits = ", ".join(f"{band} {a:g}–{b:g}" for band, (a, b) in zip(model.reads, model.limits, strict=True))
        yield "values", f"{limits} become {low:g}–{high:g}"


def _iter_usefulness_lines(distance: "SceneDistance | None", expected: float | None) -> Iterator[tuple[str, str]]:
    """Say how familiar the ground is to the model, how sure it is there, and what is better where it is not."""
    if distance is not None:
        than = "less" if distance.departure < 0 else "more"
        yield (
            "ground",
            f"{distance.verdict}{' from' if distance.verdict != 'near' else ' to'} what the model was trained on: "
            f"{distance.value:.1f}, where 1 is usual there; most by {distance.statistic}, {than} here",
        )
    if expected is not None:
        yield "expects", f"{100 * expected:.0f} % of the pixels right, by its calibrated confidence in a few windows"
    if (distance is not None and distance.verdict == "far") or (expected is not None and expected < POOR):
        yield "advice", "labels may be poor: from a few polygons that are drawn here, `geodeeplab adapt` makes a model"


def _iter_run_lines(run: "Forecast") -> Iterator[tuple[str, str]]:
    about = "" if run.is_count_exact else "about "
    empty = f", {about}{run.empty_tiles} empty" if run.empty_tiles or about else ""
    yield "tiles", f"{run.tiles} of {run.tile_size} px at an overlap of {run.overlap}{empty}"
    if run.columns > 1:
        yield "columns", f"{run.columns}, as the scene is wide; {run.tiles_again} tiles are computed twice"
    memory = [] if run.host_bytes is None else [f"about {bytes_text(run.host_bytes)}"]
    if run.device_bytes is not None and run.device_total_bytes is not None:
        memory.append(f"about {bytes_text(run.device_bytes)} of {bytes_text(run.device_total_bytes)} on the GPU")
    if memory:
        yield "memory", ", ".join(memory)
    yield (
        "disk",
        f"about {bytes_text(run.raster_bytes)} for rasters ({bytes_text(run.raster_bytes_most)} at most) and "
        f"{bytes_text(run.polygon_bytes)} for polygons; {bytes_text(run.disk_free_bytes)} free here",
    )
    if run.seconds is not None and run.mpx_per_s is not None:
        lanes = (
            f"{run.lanes} forward passes of {run.batch_size} at once"
            if run.lanes > 1
            else f"batches of {run.batch_size}"
        )
        yield (
            "time",
            f"about {seconds_text(run.seconds)} to label all tiles ({run.mpx_per_s:.3g} Mpx/s on {run.device} "
            f"{run.precision}, {lanes})",
        )


def bytes_text(count: float) -> str:
    """Give a number of bytes to two digits, such as `1.2 GB`."""
    units = ["B", "kB", "MB", "GB", "TB"]
    power = min(int(math.log(max(count, 1), 1000)), len(units) - 1)
    value = count / 1000**power
    return f"{value:.1f} {units[power]}" if value < 10 and power else f"{value:.0f} {units[power]}"


def seconds_text(seconds: float) -> str:
    """Give a time to two digits or so, such as `12 s`, `4.5 min` or `3.2 h`."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
