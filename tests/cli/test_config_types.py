import inspect
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import pytest

from geodeeplab.cli.config_types import described, fits
from geodeeplab.cli.train_config import known_keys, read_config, to_toml
from geodeeplab.errors import OptionError
from geodeeplab.training.augmentation import Augmentation

RIGHT = [
    (1, float), (0.5, float), (3, int | None), (True, bool), ("a", str), ("a", PathLike[str]),
    ("b", Literal["a", "b"]), (["a", 1], Sequence[str | int]), ({"a": [1, 2, 3]}, Mapping[str, tuple[int, int, int]]),
    ({"flips": False, "scale": [0.5, 2]}, Augmentation | bool), ([], Sequence[str]), ([{}], Sequence[Any]),
]  # fmt: skip
WRONG = [
    (True, float), (True, int), (1, bool), (1.0, int), (2**63, int), (10**400, float), (float("nan"), float),
    (float("inf"), float),
    ("1", int), (1, str), ("a\0", str), (["a"], str), ("a", Sequence[str]), ([1.5], Sequence[str | int]),
    ({"a": 1}, float), ({"a": [1, 2]}, Mapping[str, tuple[int, int, int]]), ({"flips": 1}, Augmentation | bool),
    ({"scale": 1.5}, Augmentation), ({}, Path), (1, inspect.Signature),
]  # fmt: skip


@pytest.mark.parametrize(("value", "annotation"), RIGHT)
def test_values_that_fit(value: object, annotation: object) -> None:
    assert fits(value, annotation)


@pytest.mark.parametrize(("value", "annotation"), WRONG)
def test_values_that_do_not_fit(value: object, annotation: object) -> None:
    assert not fits(value, annotation)


def test_types_are_described() -> None:
    assert described(Sequence[str] | float | None) == "a number or a list (text)"
    assert described(Path) == "nothing that TOML can hold"


def test_the_defaults_of_all_keys_fit(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(to_toml(known_keys()))
    assert set(read_config(path, known_keys())) == set(known_keys())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learner]\ndice_loss_fraction = {a = 0.1}", r"dice_loss_fraction = \{.*\} in \[learner\], which is a number"),
        ("[learner]\nignore_classes = 5.0", r"which is a list \(text or a whole number\): correct it"),
        ("[learner]\naspp_channels = [16]", "which is a whole number"),
        ("[fit]\nepochs = true", "which is a whole number"),
        ("[data]\naugmentation = {scale = 2}", "which is a table or true or false"),
        ("[model]\nname = 5", "which is text"),
        ("[data]\nscenes = " + "[" * 5000, "cannot be read"),
        ("[data]\nseed = " + "9" * 5000, "cannot be read"),
    ],
)
def test_values_of_a_wrong_type_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=message):
        read_config(path, known_keys())
