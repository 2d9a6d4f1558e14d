"""The glossary explains every word of the public names that is not plain English."""

import inspect
import re
from itertools import pairwise
from pathlib import Path

import geodeeplab as gdl

GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"
PLAIN_WORDS = """
    after allow announce areas available buffer build calls clip conv counts cut data datasets decay deep degrees
    devices dict distances dst early estimate evaluate evaluation export extra facts fc figure fill find finite fit
    folder fraction gb geo group groups half holes html ignore json keep kept kernel layout like load m m2 mapping
    max min missed name needs nodes non notes nullable num option overwrite path paths pct plan plot prepare
    probabilities probability progress published refine report required resize rgb rotation run save scales schedule
    seconds self show simplified skip smoothing source status statuses stopping strategy strength supported table
    threads title total touched traceback tracing train unchecked unfreeze unknown unlabelled unpaired val version
    warning warnings wrong
"""
PLAIN = frozenset(PLAIN_WORDS.split())
"""Words that mean here what they mean everywhere."""


def public_words() -> set[str]:
    """Give the words of all public names, of the methods and fields of public classes, and of their arguments."""
    names: set[str] = set()
    for name in gdl.__all__:
        found = getattr(gdl, name)
        parts = {key: value for key, value in vars(found).items() if key[0] != "_"} if inspect.isclass(found) else {}
        names |= {name, *parts}
        for function in (found, *parts.values()):
            try:
                names |= set(inspect.signature(function).parameters)
            except (TypeError, ValueError):  # a property, a constant
                continue
    return {word.lower() for name in names for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d?", name)}


def explained(word: str, text: str) -> bool:
    """Tell whether a word stands in the glossary, in the singular or the plural, as a noun or as what is done."""
    stem = re.sub(r"(ies|ing|ed|es|s|e|y)$", "", word)
    return re.search(rf"\b{re.escape(stem if len(stem) > 2 else word)}", text) is not None


def test_every_word_of_the_public_names_is_explained_or_plain() -> None:
    text = GLOSSARY.read_text(encoding="utf-8").lower()
    assert sorted(word for word in public_words() - PLAIN if not explained(word, text)) == []


def test_a_word_that_is_missing_is_noticed() -> None:
    assert not explained("hyperbole", GLOSSARY.read_text(encoding="utf-8").lower())


def test_a_term_has_one_entry() -> None:
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    terms = [line for line, following in pairwise(lines) if following.startswith(":   ")]
    assert len(terms) == len(set(terms)) > 100
