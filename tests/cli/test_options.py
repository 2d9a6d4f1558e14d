from geodeeplab.cli.options import split_names


def test_names_are_split_at_commas() -> None:
    assert split_names("red, nir,3") == ["red", "nir", "3"]
    assert split_names(None) is None
