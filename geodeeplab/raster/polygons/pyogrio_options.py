"""Options of the GDAL that pyogrio brings along, set for a while."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gdal_option(name: str, value: str | int) -> Iterator[None]:
    """Set an option of GDAL, unless the user has set it."""
    import pyogrio

    if pyogrio.get_gdal_config_option(name) is not None:
        yield
        return
    pyogrio.set_gdal_config_options({name: value})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({name: None})


@contextmanager
def errors_raised_only() -> Iterator[None]:
    """Let GDAL tell of errors by exceptions alone.

    In all threads but the one that imported pyogrio first it would write them to stderr, too.
    """
    with gdal_option("CPL_LOG", os.devnull):
        yield
