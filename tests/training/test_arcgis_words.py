"""Calls in the words of arcgis.learn: each is understood, or refused in one line that names ours."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from geodeeplab.errors import OptionError
from geodeeplab.training.arcgis_words import (
    FIT,
    FROM_MODEL,
    LOAD,
    MIOU,
    PLOT_LOSSES,
    PREPARE_DATA,
    SAVE,
    SHOW_RESULTS,
    Word,
    backbone_name,
    keeps_checkpoints,
    named_classes,
    split_rate,
    understands,
)
from tests.training.drawn import draw_data


def called(words: dict[str, Word], **named: Any) -> dict[str, Any]:  # noqa: ANN401
    """Give what a function is called with."""

    @understands(words)
    def function(**told: Any) -> dict[str, Any]:  # noqa: ANN401
        return told

    return function(**named)


@pytest.mark.parametrize(
    ("words", "theirs", "ours"),
    [
        (PREPARE_DATA, {"transforms": None, "seed": 3}, {"augmentation": None, "seed": 3}),
        (PREPARE_DATA, {"transforms": False}, {"augmentation": False}),
        (PREPARE_DATA, {"dataset_type": None}, {}),
        (PREPARE_DATA, {"dataset_type": "Classified_Tiles"}, {}),
        (PREPARE_DATA, {"imagery_type": "naip", "norm_pct": 0.3, "num_workers": 0, "working_dir": None}, {}),
        (FIT, {"wd": 0.01, "callbacks": []}, {"weight_decay": 0.01}),
        (
            SAVE,
            {"name_or_path": "30e", "framework": "PyTorch", "publish": False, "gis": None, "compute_metrics": True},
            {"path": "30e"},
        ),
        (SAVE, {"save_inference_file": True, "save_optimizer": False}, {}),
    ],
)
def test_words_that_mean_something(words: dict[str, Word], theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    assert called(words, **theirs) == ours


@pytest.mark.parametrize(
    ("words", "theirs", "match"),
    [
        (PREPARE_DATA, {"dataset_type": "RCNN_Masks"}, r"`dataset_type='RCNN_Masks'` .*: a class of each pixel"),
        (PREPARE_DATA, {"imagery_type": "RGB"}, "`bands=`"),
        (PREPARE_DATA, {"extract_bands": [0, 1, 2]}, r"by number from 1, with `bands=`"),
        (PREPARE_DATA, {"collate_fn": print}, "leave it out"),
        (PREPARE_DATA, {"num_workers": 4}, "pass `workers=` to fit"),
        (PREPARE_DATA, {"working_dir": "runs"}, r"save\('FOLDER/NAME'\)"),
        (PREPARE_DATA, {"transforms": False, "augmentation": True}, "`transforms=` is called `augmentation=` here"),
        (FIT, {"callbacks": [print]}, "`progress=`"),
        (FIT, {"mixed_precision": True}, "pass `precision=` to DeepLab"),
        (SAVE, {"framework": "tf-onnx"}, "geodeeplab export makes ONNX of it"),
        (SAVE, {"publish": True}, "share the one file"),
        (SAVE, {"gis": object()}, "share the one file"),
        (SAVE, {"compute_metrics": False}, "leave it out"),
        (SAVE, {"save_optimizer": True}, "resume=True"),
    ],
)
def test_words_that_mean_nothing_here(words: dict[str, Word], theirs: dict[str, Any], match: str) -> None:
    with pytest.raises(OptionError, match=match) as error:
        called(words, **theirs)
    assert "\n" not in str(error.value)


def test_every_word_has_a_reason_in_one_sentence() -> None:
    for words in (PREPARE_DATA, FIT, SAVE):
        assert all(not (word.ours and word.instead) and not word.instead.endswith(".") for word in words.values())


def test_other_keywords_go_by_and_unknown_ones_are_pythons_matter() -> None:
    assert called(SAVE, licence="CC0-1.0") == {"licence": "CC0-1.0"}

    @understands(SAVE)
    def save(path: str) -> str:
        """Save."""
        return path

    assert save.__doc__ == "Save."
    assert save("a") == save(name_or_path="a") == "a"  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'pubish'"):
        save("a", pubish=True)  # type: ignore[call-arg]


def test_a_backbone_is_a_name_or_has_one() -> None:
    from torchvision import models

    assert backbone_name(None, default="resnet18") == "resnet18"
    assert backbone_name("resnet34", default="resnet18") == "resnet34"
    assert backbone_name(models.resnet34, default="resnet18") == "resnet34"
    with pytest.raises(OptionError, match=r"is a name, such as 'resnet50', not 50: see DeepLab\.backbones\(\)"):
        backbone_name(50, default="resnet18")


def test_a_slice_of_rates_is_from_the_backbones_to_the_heads() -> None:
    assert split_rate(None) == (None, None)
    assert split_rate(0.01) == (0.01, None)
    assert split_rate(slice(0.01)) == (0.01, None)
    rate, share = split_rate(slice(1e-5, 1e-3))
    assert rate == 1e-3
    assert share == pytest.approx(1e-2)
    for wrong in (slice(None), slice(0, 1e-3), slice(1e-4, 1e-3, 2), slice("a", "b")):
        with pytest.raises(OptionError, match="a slice of learning rates goes from the backbone's to the heads'"):
            split_rate(wrong)


def test_checkpoints_are_the_best_and_the_last() -> None:
    assert [keeps_checkpoints(one) for one in (True, False, "best")] == [True, False, True]
    with pytest.raises(OptionError, match="not 'all': to keep others, save the model"):
        keeps_checkpoints("all")


def test_classes_are_ignored_by_the_values_of_the_chips() -> None:
    data = draw_data()
    assert named_classes([0, 2, "wood"], data) == [2, "wood"]
    values = {"chip_folder": {"label_values": {"field": [0, 7], "wood": [3], "roof": []}}}
    assert named_classes([0, 3, 2, "roof"], dataclasses.replace(data, provenance=values)) == [
        "field",
        "wood",
        2,
        "roof",
    ]


def test_the_page_tells_every_word() -> None:
    page = (Path(__file__).parents[2] / "docs" / "arcgis-learn.md").read_text(encoding="utf-8")
    tables = (PREPARE_DATA, FIT, SAVE, LOAD, FROM_MODEL, MIOU, PLOT_LOSSES, SHOW_RESULTS)
    assert [name for words in tables for name in words if name not in page] == []
