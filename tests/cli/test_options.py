import pytest

from geodeeplab.cli.options import progress_bar, split_names


def test_names_are_split_at_commas() -> None:
    assert split_names("red, nir,3") == ["red", "nir", "3"]
    assert split_names(None) is None


def test_the_bar_shows_megapixels_done_and_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(shown=True) as progress:
        progress(0, 10_000_000)
        progress(5_000_000, 10_000_000)
        progress(10_000_000, 10_000_000)
    drawn = capsys.readouterr().err
    assert "0.0/10.0 Mpx" in drawn
    assert "Mpx/s" in drawn


def test_there_is_no_bar_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        progress(1, 2)
    assert capsys.readouterr().err == ""
