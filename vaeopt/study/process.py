"""The name of a process that takes trials, and whether it is still there."""

import os
import socket
from functools import cache
from pathlib import Path

import psutil

__all__ = ["place", "shown_worker", "worker_alive", "worker_name"]


def worker_name(pid: int | None = None) -> str:
    """``place:pid:start`` of this or another process here; the start tells a reused number apart.

    The place is the host, its boot and its table of processes: neither a reboot nor a container
    with the same name and numbers passes for this one.
    """
    pid = os.getpid() if pid is None else pid
    return f"{place()}:{pid}:{psutil.Process(pid).create_time():.0f}"


@cache
def place() -> str:
    """Host, boot and table of processes, as far as this system tells."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        table = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux
        return socket.gethostname()
    return f"{socket.gethostname()}~{boot}~{table}"  # part of the name of a folder, too


def worker_alive(name: str) -> bool | None:
    """Whether the process that took a trial is still there; None where it cannot be seen."""
    where, pid, start = name.rsplit(":", 2)
    if where not in (place(), socket.gethostname()):
        return None
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(start)) < 2
    except psutil.Error:
        return False


def shown_worker(name: str) -> str:
    """Host and process number of a worker, for people."""
    where, _, rest = name.partition(":")
    return f"{where.partition('~')[0]}:{rest.rpartition(':')[0]}" if rest else ""
