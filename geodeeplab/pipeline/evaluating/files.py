"""The files that `evaluate` writes: a page, all numbers, all objects."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geodeeplab.pipeline.evaluating.objects import STATUS_SUFFIXES, ObjectComparison, write_statuses
from geodeeplab.pipeline.evaluating.result import Evaluation
from geodeeplab.raster import atomic_outputs, check_outputs

FilePath = str | os.PathLike[str]


def check_files(
    *,
    report: FilePath | None,
    json: FilePath | None,
    statuses: FilePath | None,
    overwrite: bool,
    inputs: Sequence[FilePath],
) -> dict[str, Path]:
    """Refuse files that cannot be written, before any work; give those that are wanted by their option's name.

    Raises:
        OptionError: a suffix is wrong, two are one file, one is an input, or matplotlib is missing for a page.
        OutputError: a file exists and is not to be replaced, or its folder does not exist.
    """
    outputs = check_outputs(
        {"report": (report, (".png",)), "json": (json, (".json",)), "statuses": (statuses, STATUS_SUFFIXES)},
        overwrite=overwrite,
        inputs=inputs,
    )
    if report is not None:
        from geodeeplab.maps.figures import require_matplotlib

        require_matplotlib()
    return outputs


def write_files(
    evaluation: Evaluation,
    objects: ObjectComparison | None,
    outputs: Mapping[str, Path],
    *,
    crs: Any,  # noqa: ANN401 - any CRS
    overwrite: bool,
) -> None:
    """Write what `check_files` gave; all of it appears together."""
    if not outputs:
        return
    with atomic_outputs(outputs.values(), overwrite=overwrite) as temporary:
        if "json" in outputs:
            temporary[outputs["json"]].write_text(evaluation.to_json() + "\n", encoding="utf-8")
        if "report" in outputs:
            evaluation.save_report(temporary[outputs["report"]], overwrite=True)
        if "statuses" in outputs:
            assert objects is not None
            path = temporary[outputs["statuses"]]
            write_statuses(path, objects, classes=evaluation.classes, crs=crs, overwrite=True)
