"""Compile the native kernels at first use and keep them in the user's cache.

``VAEOPT_CACHE_DIR`` names another folder than ``vaeopt`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["cache_folder", "library"]

_SOURCE = Path(__file__).parent / "source" / "vaeopt.cpp"
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-w")
_LINK = ("-shared", "-fPIC", "-pthread")
_COMPILERS = ("c++", "g++", "clang++")
_PATIENCE_S = 120
_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    if own := os.environ.get("VAEOPT_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vaeopt"


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernels, compiled if they are not in the cache; None, logged once, where that fails."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        _log.warning("no C++ compiler (%s) found: training is slower", _COMPILERS[0])
        return None
    try:
        path = cache_folder() / f"native-{_fingerprint(compiler)}.so"
        if not _is_whole(path):
            _compile(compiler, path)
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        reason = next(iter(str(error.stderr).strip().splitlines()), "no message")
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        reason = str(error)
    _log.warning("the native kernels were not compiled: training is slower (%s)", reason)
    return None


def _fingerprint(compiler: str) -> str:
    """Of all that decides what the compiler makes: a home may be shared by unlike machines."""
    version = _run([compiler, "--version"])
    headers = sorted(_SOURCE.parent.glob("*.h"))
    sources = [path.read_text(encoding="utf-8") for path in (_SOURCE, *headers)]
    parts = (*sources, *_FLAGS, *_LINK, version, _processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _processor() -> str:
    """Model and abilities of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return " ".join((platform.system(), platform.machine(), platform.processor()))
    telling = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(telling)}))


def _compile(compiler: str, path: Path) -> None:
    """Write the kernel and its checksum; whoever comes last wins, and all wrote the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        _run([compiler, *_FLAGS, *_LINK, "-o", str(fresh), str(_SOURCE)])
        content = fresh.read_bytes()
        # Behind the last section, where the loader does not look.
        fresh.write_bytes(content + hashlib.sha256(content).digest())
        fresh.replace(path)


def _is_whole(path: Path) -> bool:
    """Whether the file carries its own checksum: loading a damaged one may end the process."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


def _run(command: list[str]) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(  # noqa: S603  # the compiler that PATH names, and arguments of ours
        command, check=True, capture_output=True, text=True, timeout=_PATIENCE_S
    )
    return done.stdout
