"""What calls that were written for arcgis.learn say with other words: what is meant here, or a line that names ours.

Most of its words are this project's, with the same meaning. Those that are not stand in the tables below, one for each
function that takes them; the page "Coming from arcgis.learn" tells them, and a test holds it.

Source: https://developers.arcgis.com/python/latest/api-reference/arcgis.learn.toc.html
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from geodeeplab.errors import OptionError
from geodeeplab.models.checks import shown
from geodeeplab.training.data import TrainingData

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Word:
    """A keyword of arcgis.learn that a function here does not have."""

    ours: str | None = None
    """The keyword here that means the same, and takes its value."""
    same: tuple[object, ...] = ()
    """Values that ask for what is done anyway; None always does."""
    instead: str = ""
    """What to do in place of any other value: the end of the line that refuses it. Empty: every value is passed over,
    as what the word decides there makes no difference here."""


PREPARE_DATA = {
    "transforms": Word(ours="augmentation"),
    "dataset_type": Word(
        same=("Classified_Tiles",),
        instead="a class of each pixel is learned, which chips have as Classified_Tiles: export them in that format",
    ),
    "imagery_type": Word(
        same=("ms", "multispectral", "naip", "sentinel2", "landsat8"),
        instead="all bands of the chips are read: choose some by name or by number from 1, with `bands=`",
    ),
    "extract_bands": Word(instead="bands are chosen by name or by number from 1, with `bands=`"),
    "norm_pct": Word(),
    "collate_fn": Word(instead="the learner makes the batches: leave it out"),
    "num_workers": Word(same=(0,), instead="whoever trains draws the chips: pass `workers=` to fit"),
    "working_dir": Word(instead="files lie where each call says: save('FOLDER/NAME') and fit(folder='FOLDER')"),
}
FIT = {
    "callbacks": Word(same=([], ()), instead="functions are called by `progress=` and `after_step=`"),
    "mixed_precision": Word(same=(False,), instead="it is the learner's: pass `precision=` to DeepLab"),
    "wd": Word(ours="weight_decay"),
}
SAVE = {
    "name_or_path": Word(ours="path"),
    "framework": Word(same=("PyTorch",), instead="one model file is written: geodeeplab export makes ONNX of it"),
    "publish": Word(same=(False,), instead="nothing is sent anywhere: share the one file that is written"),
    "gis": Word(instead="nothing is sent anywhere: share the one file that is written"),
    "compute_metrics": Word(same=(True,), instead="a model file says how good the model is: leave it out"),
    "save_optimizer": Word(same=(False,), instead="the folder of the fit keeps it: fit(folder=…, resume=True)"),
    "save_inference_file": Word(),
}
LOAD = {"name_or_path": Word(ours="path")}
FROM_MODEL = {"emd_path": Word(ours="model")}
MIOU = {"show_progress": Word()}
PLOT_LOSSES = {"show": Word()}
SHOW_RESULTS = {"return_fig": Word()}

MONITORS = {"valid_loss": "loss"}
"""What `fit` monitors there, and what it is called here."""
UNLABELLED = 0
"""The class value of ground that nobody labelled, in Esri's chips."""


def understands(words: Mapping[str, Word]) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Let a function be called with words of arcgis.learn, too; its signature and its documentation stay as they are.

    Raises:
        OptionError: when it is called with one that has no meaning here; says what to do instead.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
            return function(*args, **_translated(words, named))

        return call

    return decorate


def _translated(words: Mapping[str, Word], named: Mapping[str, Any]) -> dict[str, Any]:
    """Give keywords in our words."""
    told = {}
    for name, value in named.items():
        word = words.get(name, Word(ours=name))
        if word.ours is not None:
            if word.ours != name and word.ours in named:
                raise OptionError(f"`{name}=` is called `{word.ours}=` here, and both are given: leave one out")
            told[word.ours] = value
        elif word.instead and value is not None and value not in word.same:
            raise OptionError(f"`{name}={shown(value)}` of arcgis.learn is not done here: {word.instead}")
    return told


def backbone_name(backbone: object, *, default: str) -> str:
    """Give the name of a backbone: arcgis.learn takes None for its default, and torchvision's functions.

    Raises:
        OptionError: for anything else.
    """
    if backbone is None:
        return default
    name = backbone if isinstance(backbone, str) else getattr(backbone, "__name__", None)
    if not isinstance(name, str):
        raise OptionError(f"`backbone=` is a name, such as 'resnet50', not {shown(backbone)}: see DeepLab.backbones()")
    return name


def split_rate(lr: "float | slice | None") -> tuple[float | None, float | None]:
    """Give the heads' learning rate, and the backbone's share of it, of a rate or of fastai's slice of rates.

    `slice(low, high)` is from the backbone's to the heads'; `slice(high)`, like a number, leaves the share open.

    Raises:
        OptionError: for a slice of anything else.
    """
    if not isinstance(lr, slice):
        return lr, None
    rates = [rate for rate in (lr.start, lr.stop) if rate is not None]
    if lr.step is not None or lr.stop is None or not all(isinstance(rate, int | float) and rate > 0 for rate in rates):
        raise OptionError(f"a slice of learning rates goes from the backbone's to the heads', not {shown(lr)}")
    return float(lr.stop), None if lr.start is None else lr.start / lr.stop


def keeps_checkpoints(checkpoint: bool | str) -> bool:
    """Tell whether a fit keeps checkpoints: the best and the last one, which is what arcgis.learn's "best" asks for.

    Raises:
        OptionError: for "all".
    """
    if isinstance(checkpoint, bool) or checkpoint == "best":
        return bool(checkpoint)
    raise OptionError(
        f"`checkpoint=` is True, for the best and the last epoch, or False, not {shown(checkpoint)}: to keep others, "
        "save the model in `progress=`"
    )


def named_classes(wanted: Sequence[str | int], data: TrainingData) -> list[str | int]:
    """Give classes to ignore by name where they are given by the value that they have in exported chips.

    0 stands for ground that nobody labelled, which is ignored anyway, unless a class has this value.
    """
    values = data.provenance.get("chip_folder", {}).get("label_values", {})
    names = {value: name for name, known in values.items() for value in known}
    return [names.get(one, one) for one in wanted if one in names or one != UNLABELLED]
