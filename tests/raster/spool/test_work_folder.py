"""Waiting for a workspace that another run has."""

import threading
import time
from pathlib import Path

from geodeeplab.raster.spool.work_folder import lock_folder, wait_for_workspace, workspace_folder


def test_it_is_waited_for_as_long_as_another_run_has_it_and_no_longer_than_asked_for(tmp_path: Path) -> None:
    output = tmp_path / "a.tif"
    wait_for_workspace(output, seconds=60)  # nobody has it
    ended: list[float] = []

    def wait() -> None:
        wait_for_workspace(output, seconds=60)
        ended.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    with lock_folder(workspace_folder(output), output):
        wait_for_workspace(output, seconds=0.05)  # in vain, and says nothing
        waiting.start()
        released = time.monotonic()
    waiting.join()
    assert ended[0] >= released
    assert list(tmp_path.iterdir()) == []
