"""The command line: words -> one function call -> print.

Heavy imports stand inside the verbs, so that ``--help`` answers at once. Exit status: 0 fine,
1 unexpected error or something that could not be done, 2 a mistake that the user can put right,
3 no feasible trial, 130 Ctrl-C.
"""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from vaeopt.cli.verbs import complain
from vaeopt.cli.words import parser as _parser
from vaeopt.core.errors import VaeoptError
from vaeopt.core.secrets import masked

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminate)
    sys.excepthook = _without_passwords
    _keep_freed_memory()
    try:
        status: int = arguments.verb(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is expected
    except VaeoptError as error:
        for line in error.lines:
            complain(line)
        return 2
    except KeyboardInterrupt:
        complain("stopped; run the same command again to go on")
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    except OSError as error:  # a full disk, a folder that may not be written to
        complain(str(error))
        return 2
    finally:
        _close_storages()
    return status


def _close_storages() -> None:
    """A study that nobody works on is one file."""
    storages = sys.modules.get("vaeopt.study.storage.backends")  # as far as a verb has needed them
    if storages is not None:
        storages.all_closed()


def _keep_freed_memory() -> None:
    """Let glibc reuse the large temporaries of a training step instead of unmapping them.

    Page faults of fresh mappings cost 14 % of the processor time of a step (docs/vae.md). Only the
    program does this: a library must not change the allocator of the process that imports it.
    """
    import ctypes

    trim_threshold, mmap_threshold, one_gib = -1, -3, 1 << 30
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(mmap_threshold, one_gib)
    mallopt(trim_threshold, one_gib)


def _without_passwords(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The traceback of an error of ours: a database driver may have put a URL into its message."""
    print(masked("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def _terminate(signum: int, frame: object) -> None:
    raise KeyboardInterrupt  # a job scheduler's SIGTERM ends as cleanly as Ctrl-C
