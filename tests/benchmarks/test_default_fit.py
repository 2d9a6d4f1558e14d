"""The table of default fits; the fits themselves take half an hour each."""

from default_fit import CASES, FITS, parse_arguments, table


def test_the_table_has_a_row_for_each_run() -> None:
    run = {"case": "tiles", "defaults": "new", "miou": 0.5, "claimed": None, "steps": 640, "minutes": 22.04}
    assert table([run]).splitlines()[2] == "| tiles | new | 0.500 | none | 640 | 22.0 |"


def test_everything_is_run_unless_less_is_asked_for() -> None:
    args = parse_arguments(["--data", "data"])
    assert (args.cases, args.defaults, args.steps) == (list(CASES), list(FITS), None)
