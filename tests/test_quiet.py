import threading
import warnings

import pytest

from geodeeplab.quiet import ignore_warnings


def test_only_such_warnings_are_ignored_and_the_filters_stay() -> None:
    before = list(warnings.filters)
    with ignore_warnings(UserWarning, "the sky"):
        warnings.warn("The sky is falling", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="the sea"):
            warnings.warn("the sea is rising", UserWarning, stacklevel=1)
        with pytest.warns(RuntimeWarning):
            warnings.warn("the sky is falling", RuntimeWarning, stacklevel=1)
    assert list(warnings.filters) == before


def test_blocks_of_threads_that_overlap_leave_no_filter_behind() -> None:
    before = list(warnings.filters)
    entered, left = threading.Event(), threading.Event()

    def first() -> None:
        with ignore_warnings(UserWarning):
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=first)
    with ignore_warnings(RuntimeWarning):
        thread.start()
        entered.wait(10)
    left.set()
    thread.join()
    assert list(warnings.filters) == before


def test_a_block_that_ends_within_somebody_elses_leaves_no_filter_behind() -> None:
    before = list(warnings.filters)
    block = ignore_warnings(UserWarning)
    block.__enter__()
    with warnings.catch_warnings():
        block.__exit__(None, None, None)
        assert list(warnings.filters) == before
    assert list(warnings.filters) == before
