"""`geodeeplab train`."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geodeeplab.cli.label_options import label_options
from geodeeplab.cli.options import local_only_option, split_names
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_option, tell, tell_done
from geodeeplab.cli.text import as_options
from geodeeplab.cli.train_config import LEARNER_KEYS, Tables, known_keys, merge, read_config, to_toml
from geodeeplab.errors import OptionError

if TYPE_CHECKING:
    from geodeeplab.learner import DeepLab
    from geodeeplab.training.data import TrainingData
    from geodeeplab.training.loop.forecast import FitForecast
    from geodeeplab.training.loop.recipe import EpochRecord


@click.command("train")
@click.argument("scenes", metavar="[SCENE...]", nargs=-1)
@click.option("-o", "--output", help="Model file to write (.safetensors).")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with any of the options, and more.")
@click.option("--write-config", type=click.Path(path_type=Path), help="Write all options as TOML there, and end.")
@click.option("--labels", multiple=True, help="Polygons or label raster; once for all SCENEs, or once for each.")
@click.option("--chips", help="Folder of chips, in place of SCENEs and --labels.")
@label_options
@click.option("--bands", metavar="B,B,…", help="The scenes' bands to learn from.  [default: all]")
@click.option("--gsd-m", type=float, help="Ground sample distance to learn at.  [default: the scenes']")
@click.option("--chip-size", type=int, help="Pixels of a chip along each axis.  [default: 256]")
@click.option("--batch-size", type=int, help="Chips of a step.  [default: 8]")
@click.option("--micro-batch", type=int, help="Chips at once, of which a step adds up.  [default: what fits]")
@click.option(
    "--epoch-chips", type=int, help="Chips of an epoch.  [default: what covers the labels, 64 steps at least]"
)
@click.option("--val-split-pct", type=float, help="Share of the labels to validate on.  [default: 0.2]")
@click.option("--split", type=click.Choice(["blocks", "groups", "files", "random"]), help="How it is chosen.")
@click.option("--augmentation/--no-augmentation", default=None, help="Random changes of training chips.  [default: on]")
@click.option("--seed", type=int, help="Decides the split, the chips and the weights.  [default: 0]")
@click.option("--backbone", help="resnet50, timm:<name>, …  [default: efficientnet_lite0, whose weights are here]")
@click.option("--arch", help="deeplabv3, deeplabv3plus, fcn, …  [default: deeplabv3]")
@click.option("--pointrend/--no-pointrend", default=None, help="Refine with PointRend.  [default: on]")
@click.option("--weights", help="imagenet, none, or a file to start from.  [default: imagenet]")
@click.option("--from-model", help="Model to go on from, with the classes and bands of these labels.")
@click.option("--class-balancing/--no-class-balancing", default=None, help="Weigh rare classes more.  [default: off]")
@click.option("--focal-loss/--no-focal-loss", default=None, help="In place of the cross-entropy.  [default: off]")
@click.option("--dice-loss-fraction", type=float, help="Share of the Dice loss.  [default: 0]")
@click.option("--ignore-classes", metavar="C,C,…", help="Classes that count nowhere.")
@click.option("--instances", metavar="C,C,…", help="Classes whose objects are told apart, by their boundaries.")
@click.option("--boundary-px", type=int, help="Width of a boundary in pixels.  [default: 2]")
@click.option("--epochs", type=int, help="Of 64 steps or more each.  [default: 640 steps in all]")
@click.option("--lr", type=float, help="Learning rate.  [default: 0.001]")
@click.option("--lr-find/--no-lr-find", default=None, help="Take the rate that a sweep suggests.  [default: off]")
@click.option("--freeze/--no-freeze", default=None, help="Leave the backbone as it is.  [default: off]")
@click.option("--early-stopping", type=int, help="End after so many epochs without a better one.")
@click.option("--monitor", help="miou, boundary_iou, accuracy, boundary_f1 or loss.  [default: miou]")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.  [default: auto]")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), help="[default: auto]")
@click.option("--devices", type=int, help="GPUs to train on, or processes on a CPU.  [default: 1]")
@click.option("--strategy", help="Lightning's, such as ddp.")
@click.option("--workers", type=int, help="Processes that draw chips.  [default: what suits the machine]")
@click.option("--tensorboard/--no-tensorboard", default=None, help="Write TensorBoard's files.  [default: off]")
@click.option("--name", help="The model's name.  [default: the file's]")
@click.option("--licence", help="Licence of the weights.")
@click.option("--int8/--no-int8", default=None, help="Prepare the model for --precision int8.  [default: off]")
@click.option("--run-folder", "folder", help="Folder of the checkpoints.  [default: beside the model]")
@click.option("--resume", is_flag=True, help="Go on with a run that was cut off.")
@click.option("--overwrite", is_flag=True, help="Replace a model and a run that exist.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the run's facts as JSON on stdout.")
@local_only_option
def command(
    scenes: tuple[str, ...],
    config: Path | None,
    write_config: Path | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    label_options: Mapping[str, Any],
    **told: Any,  # noqa: ANN401 - the options above, which go to their tables by name
) -> None:
    """Train a network on labelled SCENEs, or on chips, and write one model file."""
    values = _values(scenes, {**told, **label_options})
    if config is None and write_config is None:  # all is told, and a refusal need not wait for torch
        _check(dict.fromkeys(("data", "learner", "model"), values), None, overwrite=overwrite or resume)
    known = known_keys()
    tables = merge(known, {} if config is None else read_config(config, known), _by_table(known, values))
    if write_config is not None:
        _write_config(tables, write_config, _inputs(tables, config), overwrite=overwrite)
        tell_done([write_config], None)
        return
    path = _check(tables, config, overwrite=overwrite or resume)
    started = time.perf_counter()
    data = _prepare(tables["data"])
    tell(as_options(str(data.describe())))
    learner = _start(tables["learner"], data)
    if tables["learner"]["lr_find"]:
        _sweep(learner, tables["fit"])
    _fit(learner, tables, path, resume=resume, overwrite=overwrite)
    if int(os.environ.get("LOCAL_RANK", "0")) or int(os.environ.get("NODE_RANK", "0")):
        return  # Lightning runs this command again for every other device; one of them writes the model
    model = tables["model"]
    learner.save(
        path,
        name=model["name"],
        licence=model["licence"],
        int8=model["int8"],
        provenance={"configuration": _plain(tables)},
        overwrite=overwrite or resume,
    )
    finish_undisturbed()
    facts = _facts(learner, path, time.perf_counter() - started)
    click.echo(json.dumps(facts, indent=2) if as_json else _closing_line(facts))
    tell_done([path], facts)


def _values(scenes: Sequence[str], told: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was told as the library takes it, None where it was not."""
    values = dict(told) | {"scenes": list(scenes) or None, "labels": list(told["labels"]) or None}
    return values | {name: split_names(values[name]) for name in ("bands", "ignore_classes", "instances")}


def _by_table(known: Tables, values: Mapping[str, Any]) -> Tables:
    """Sort the options into their tables; the seed is the data's, and the learner's follows it."""
    tables: Tables = {}
    for name, value in values.items():
        table = next(table for table, keys in known.items() if name in keys)
        tables.setdefault(table, {})[name] = value
    return tables


def _check(tables: Tables, config: Path | None, *, overwrite: bool) -> Path:
    """Refuse what cannot end well, before any work; give the path of the model."""
    from geodeeplab.models import MODEL_SUFFIXES
    from geodeeplab.raster import check_output
    from geodeeplab.raster.sources.opening import check_is_there

    data, output = tables["data"], tables["model"]["output"]
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output', or output in [model]")
    if (data["chips"] is None) == (data["scenes"] is None):
        raise click.UsageError("Give SCENEs with --labels, or --chips")
    path = check_output(output, suffixes=MODEL_SUFFIXES, overwrite=overwrite, inputs=_inputs(tables, config))
    for scene in data["scenes"] if isinstance(data["scenes"], list) else ():
        if isinstance(scene, str):  # a file of options may have others
            check_is_there(scene)
    return path


def _inputs(tables: Tables, config: Path | None) -> "list[str | os.PathLike[str]]":
    """List what is read, but for the files in a folder of chips, which are known when it is open."""
    from geodeeplab.raster import paths_in

    data, learner = tables["data"], tables["learner"]
    named = [data.get(name) for name in ("scenes", "labels", "labelled", "chips")]
    return paths_in(config, *named, *(learner.get(name) for name in ("from_model", "weights", "pretrained_path")))


def _write_config(tables: Tables, path: Path, inputs: "list[str | os.PathLike[str]]", *, overwrite: bool) -> None:
    """Write all options as TOML."""
    from geodeeplab.atomic import write_output
    from geodeeplab.raster import check_output

    write_output(check_output(path, suffixes=[".toml"], overwrite=overwrite, inputs=inputs), to_toml(tables).encode())


def _prepare(values: Mapping[str, Any]) -> "TrainingData":
    """Prepare the chips."""
    from geodeeplab.training.augmentation import Augmentation
    from geodeeplab.training.prepare import prepare_data

    arguments = {name: value for name, value in values.items() if name != "chips"}
    labels = arguments["labels"]
    if isinstance(labels, list) and len(labels) == 1:
        arguments["labels"] = labels[0]
    if isinstance(arguments["augmentation"], Mapping):
        try:
            numbers: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in arguments["augmentation"].items()
            }
            arguments["augmentation"] = Augmentation(**numbers)
        except TypeError as error:
            raise OptionError(f"the augmentation of [data] has a key that nobody knows ({error})") from error
    return prepare_data(values["chips"], **arguments)


def _start(values: Mapping[str, Any], data: "TrainingData") -> "DeepLab":
    """Build the learner."""
    from geodeeplab.learner import DeepLab

    arguments = {name: value for name, value in values.items() if name not in LEARNER_KEYS}
    if arguments["weights"] == "none":
        arguments["weights"] = None
    if values["from_model"] is None:
        learner = DeepLab(data, **arguments)
    else:
        plain = DeepLab(data, **arguments | {"weights": None, "pretrained_path": None})  # for its loss
        same = {name: values[name] for name in ("instances", "boundary_px", "device", "precision", "seed")}
        learner = DeepLab.from_model(values["from_model"], data, objective=plain.objective, **same)
    if values["freeze"]:
        learner.freeze()
    return learner


def _sweep(learner: "DeepLab", values: Mapping[str, Any]) -> None:
    """Sweep the learning rate."""
    tell(f"the sweep suggests a learning rate of {learner.lr_find(workers=values['workers']):.1e}")


def _fit(learner: "DeepLab", tables: Tables, path: Path, *, resume: bool, overwrite: bool) -> None:
    """Train, tell how far it is, and listen to Ctrl-C."""
    values = dict(tables["fit"])
    values["folder"] = values["folder"] or path.with_name(f"{path.stem}-run")
    last_epoch = 0

    def announced(forecast: "FitForecast") -> None:
        nonlocal last_epoch
        last_epoch = forecast.last_epoch
        tell(str(forecast))

    with progress_bar("fit", unit="steps") as progress:

        def told(done: int, total: int, record: "EpochRecord | None") -> None:
            progress(done, total)
            if record is not None:
                tell(record.line(last_epoch), is_progress=True)

        learner.fit(**values, resume=resume, overwrite=overwrite and not resume, progress=told, announce=announced)


def _plain(tables: Tables) -> dict[str, Any]:
    """Give the tables as JSON can hold them."""
    plain: dict[str, Any] = json.loads(json.dumps(tables, default=str))
    return plain


def _facts(learner: "DeepLab", path: Path, seconds: float) -> dict[str, Any]:
    from geodeeplab.models import read_contract

    return {
        "model": str(path),
        "run_folder": str(learner.folder),
        "epochs": len(learner.history),
        "validation_chips": len(learner.data.val),
        "metrics": dict(read_contract(path).metrics),
        "history": [record.to_mapping() for record in learner.history],
        "seconds": seconds,
    }


def _closing_line(facts: Mapping[str, Any]) -> str:
    scores = facts["metrics"]["validation"]
    miou = "unknown" if scores["miou"] is None else f"{scores['miou']:.3f}"
    return (
        f"{facts['model']}: mIoU {miou} on {facts['validation_chips']} validation chips after {facts['epochs']} epochs "
        f"and {facts['seconds']:.0f} s; checkpoints in {facts['run_folder']}"
    )
