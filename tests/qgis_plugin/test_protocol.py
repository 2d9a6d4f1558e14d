"""The protocol, as the plugin reads it."""

import pytest

from geodeeplab.cli import progress
from qgis_plugin.geodeeplab_qgis.engine.errors import PluginError
from qgis_plugin.geodeeplab_qgis.engine.protocol import PROTOCOL, Event, Tracker, check_protocol, describe, parse_line


def told(stage: str, done: int, total: int, **more: object) -> Event:
    return Event(kind="progress", facts={"stage": stage, "done": done, "total": total, "unit": "px", **more})


@pytest.mark.parametrize("line", ["", "Warning 1: x", "{not json", "{}", '{"event": 1}', "[1]", '{"a": NaN'])
def test_what_is_no_object_of_it_is_left_to_the_log(line: str) -> None:
    assert parse_line(line) is None


def test_events_that_are_not_known_are_read() -> None:
    event = parse_line('{"event": "news", "message": null}')
    assert event is not None
    assert (event.kind, event.text("message"), event.text("other")) == ("news", "", "")


def test_the_version_of_the_protocol_is_the_commands() -> None:
    assert PROTOCOL == progress.PROTOCOL
    check_protocol(Event(kind="start", facts={"protocol": PROTOCOL}))
    with pytest.raises(PluginError, match=r"geodeeplab 9\.0 speaks protocol 2"):
        check_protocol(Event(kind="start", facts={"protocol": 2, "version": "9.0"}))


def test_the_bar_runs_from_0_to_100_over_all_stages_and_never_back() -> None:
    tracker = Tracker(("features", "head", "report", "segment"))
    found = [
        tracker.percent(told(stage, done, 2))
        for stage in ("features", "head", "report", "segment")
        for done in (0, 1, 2)
    ]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] == pytest.approx(100)
    assert tracker.percent(told("features", 0, 2)) == pytest.approx(100)


def test_stages_without_a_map_fill_the_bar_too() -> None:
    tracker = Tracker(("features", "head", "report"))
    assert tracker.percent(told("report", 1, 1)) == pytest.approx(100)


def test_several_scenes_share_a_stage_and_unknown_stages_and_totals_move_nothing() -> None:
    tracker = Tracker(("segment",))
    assert tracker.percent(told("segment", 1, 1, scene_number=1, scenes=2)) == pytest.approx(50)
    assert tracker.percent(told("tidying", 1, 1)) == pytest.approx(50)
    assert tracker.percent(told("segment", 5, 0, scene_number=2, scenes=2)) == pytest.approx(50)


def test_the_log_gets_a_line_now_and_then() -> None:
    tracker = Tracker(("segment",))

    def is_told(done: int, now: float, stage: str = "segment") -> bool:
        return bool(tracker.news(told(stage, done, 1000), now=now))

    assert [is_told(done, now=done) for done in (0, 10, 25, 40, 50)] == [True, False, True, False, True]
    assert [is_told(900, now=52), is_told(900, now=56), is_told(905, now=90)] == [False, True, False]
    assert is_told(0, now=90, stage="report")


def test_how_far_it_is_in_words() -> None:
    event = told("segment", 4_200_000, 100_000_000, rate=1_500_000, eta_s=63.9, scene_number=2, scenes=3)
    assert describe(event) == "segment (scene 2 of 3): 4.2 of 100 Mpx, 1.5 Mpx/s, 64 s left"
    plain = {"stage": "head", "done": 3, "total": 7, "unit": "steps", "rate": None, "eta_s": None}
    assert describe(Event(kind="progress", facts=plain)) == "head: 3 of 7 steps"
