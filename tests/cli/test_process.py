import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from geodeeplab.cli.process import INSISTING, check_interruption, finish_undisturbed, let_signals_interrupt
from geodeeplab.cli.progress import progress_bar


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the signals' handlers back, and forget the request."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.getsignal(number) for number in numbers]
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)  # a shell's background jobs are started with SIGINT ignored
    let_signals_interrupt()
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    let_signals_interrupt()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process")
@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_that_c_code_swallowed_ends_the_run_at_its_next_step(number: signal.Signals) -> None:
    check_interruption()  # nobody asked yet
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)  # raised here, and dropped as a callback from C would drop it
    with progress_bar() as progress, pytest.raises(KeyboardInterrupt):
        progress(1, 2)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process")
@pytest.mark.usefixtures("handlers")
def test_clean_up_is_not_disturbed_unless_somebody_insists(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    for _ in range(INSISTING - 1):
        signal.raise_signal(signal.SIGINT)  # while the run tidies up
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
    signals: list[int] = []
    raise_signal = signal.raise_signal
    monkeypatch.setattr(signal, "raise_signal", signals.append)
    raise_signal(signal.SIGINT)
    assert (signals, signal.getsignal(signal.SIGINT)) == ([signal.SIGINT], signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such handlers")
@pytest.mark.usefixtures("handlers")
def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    let_signals_interrupt()
    signal.raise_signal(signal.SIGTERM)
    check_interruption()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process")
@pytest.mark.usefixtures("handlers")
def test_a_request_that_comes_when_all_is_written_is_too_late() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    finish_undisturbed()
    late = 0
    with suppress(KeyboardInterrupt):
        for _ in range(INSISTING - 1):
            signal.raise_signal(signal.SIGTERM)
            late += 1
    assert late == INSISTING - 1, "none interrupts"
    assert signal.getsignal(signal.SIGTERM) is handler, "nor will the next one end the process"
