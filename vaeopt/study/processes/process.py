"""Names of processes: which one took a trial, and whether it is still there."""

import os
import socket
from functools import cache
from pathlib import Path

import psutil

__all__ = ["before_reboot", "worker_alive", "worker_name"]


def worker_name(pid: int | None = None) -> str:
    """``place:pid:start`` of this or another process here; the start tells a reused number apart.

    The place is the host, its boot and its table of processes: neither a reboot nor a container
    with the same name and numbers passes for this one.
    """
    pid = os.getpid() if pid is None else pid
    return f"{_place()}:{pid}:{psutil.Process(pid).create_time():.0f}"


@cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        table = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux
        return socket.gethostname()
    return f"{socket.gethostname()}~{boot}~{table}"


def worker_alive(name: str) -> bool | None:
    """Whether the process that took a trial is still there; None where it cannot be seen."""
    place, pid, start = name.rsplit(":", 2)
    if place not in (_place(), socket.gethostname()):
        return None
    try:
        process = psutil.Process(int(pid))
        ended = process.status() == psutil.STATUS_ZOMBIE  # nobody has asked yet how it ended
        return not ended and abs(process.create_time() - float(start)) < 2
    except psutil.Error:
        return False


def before_reboot(name: str) -> bool:
    """Whether a process of this machine took it before the machine was started anew."""
    was, now = (place.split("~") for place in (name.rsplit(":", 2)[0], _place()))
    return len(was) == len(now) == 3 and was[0] == now[0] and was[1] != now[1]
