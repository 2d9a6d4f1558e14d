"""Memory of this process and of its children, from /proc: Linux only."""

from pathlib import Path


def read_status(key: str) -> int:
    """Read a size of this process from /proc/self/status, in bytes.

    Raises:
        SystemExit: if there is no such file, or no such line in it.
    """
    path = Path("/proc/self/status")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {key}: this benchmark needs Linux")


def reset_peak() -> None:
    """Set VmHWM back to what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def private_bytes_below(pid: int) -> int:
    """Sum what the descendants of a process hold for themselves; pages that they share with others do not count."""
    total = 0
    for child in _children(pid):
        try:
            lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
        total += private_bytes_below(child)
    return total


def _children(pid: int) -> list[int]:
    """List the processes that the threads of a process have started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in path.read_text().split()]
        except OSError:
            continue
    return found
