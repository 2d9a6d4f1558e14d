"""The list of models in dialogs, and their cards beside it."""

from __future__ import annotations

from ..engine.models import DEFAULT, load_cards
from ..settings import FOLDER, made_models
from .declared import MODEL, MODEL_FILE, OWN, Declared, choice, model_file
from .values import Found

CARDS = load_cards(FOLDER / "models.json")
BUNDLED = [card.name for card in CARDS]
CARDS_HTML = "<h3>Models</h3>" + "".join(card.to_html() for card in CARDS)


def model_choices(label: str, *before: str) -> list[Declared]:
    """Ask for a model: from the list of those that are bundled or were made here, or any file.

    Args:
        label: Of the list.
        before: What else may be chosen; the first of all is the default.
    """
    return [
        choice(MODEL, label, OWN, [*before, *BUNDLED, *made_models()]),
        model_file(MODEL_FILE, "Model file, in place of one from the list", OWN),
    ]


def chosen_model(values: dict[str, Found]) -> str:
    """Give what `--model` takes; a file counts more than the list."""
    return str(values.get(MODEL_FILE) or values.get(MODEL) or DEFAULT)
