"""One GPU per process, by real processes and GPUs that are names only."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from vaeopt.core.errors import VaeoptError
from vaeopt.kernels import device
from vaeopt.kernels.device import Claim, expect_device, resolve_device

pytestmark = pytest.mark.skipif(os.name == "nt", reason="this system has no advisory locks")

GPUS = ["GPU-a", "GPU-b", "GPU-c"]
# Says which GPU it has claimed, and holds it until its input ends.
_WORKER = """
import sys
from pathlib import Path
from vaeopt.kernels.device import Claim
claim = Claim(lambda: sys.argv[2:], Path(sys.argv[1]))
print(claim.index(), claim.index(), flush=True)
sys.stdin.read()
"""


@contextmanager
def _worker(folder: Path, gpus: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", _WORKER, str(folder), *gpus]
    with subprocess.Popen(  # noqa: S603  # this file's own words
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        first, again = process.stdout.readline().split()
        assert first == again
        yield process, gpus[int(first)]
        process.stdin.close()


def test_every_process_has_a_gpu_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "vaeopt.kernels.device")
    with _worker(tmp_path, GPUS) as (_, one), _worker(tmp_path, GPUS[::-1]) as (_, two):
        # The order in which a process sees the GPUs is its own, their names are not.
        assert (one, two) == ("GPU-a", "GPU-c")
        assert GPUS[Claim(lambda: GPUS, tmp_path).index()] == "GPU-b"
    assert caplog.records == []


def test_a_killed_process_leaves_its_gpu_to_the_next(tmp_path: Path) -> None:
    with _worker(tmp_path, GPUS) as (process, gpu):
        process.kill()
        process.wait()
    assert gpu == "GPU-a"
    assert Claim(lambda: GPUS, tmp_path).index() == 0


def test_more_processes_than_gpus_share_them_evenly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "vaeopt.kernels.device")
    # Locks of one process also exclude each other, since each has opened the file by itself.
    claims = [Claim(lambda: GPUS, tmp_path) for _ in range(7)]
    assert [claim.index() for claim in claims] == [0, 1, 2, 0, 1, 2, 0]
    assert [record.getMessage() for record in caplog.records] == [
        "all 3 GPUs are taken: cuda:0 is shared, other processes on it: 1",
        "all 3 GPUs are taken: cuda:1 is shared, other processes on it: 1",
        "all 3 GPUs are taken: cuda:2 is shared, other processes on it: 1",
        "all 3 GPUs are taken: cuda:0 is shared, other processes on it: 2",
    ]
    assert [claim.index() for claim in claims] == [0, 1, 2, 0, 1, 2, 0]
    assert len(caplog.records) == 4


def test_a_forked_child_takes_another_gpu_and_leaves_that_of_its_parent(tmp_path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from vaeopt.kernels.device import Claim
claim = Claim(lambda: {GPUS!r}, Path({str(tmp_path)!r}))
assert claim.index() == 0
child = os.fork()
if child == 0:
    os._exit(claim.index())
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
assert claim.index() == 0
assert Claim(lambda: {GPUS!r}, Path({str(tmp_path)!r})).index() == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True)  # noqa: S603  # as above


def test_one_gpu_needs_no_claim(tmp_path: Path) -> None:
    assert [Claim(lambda: GPUS[:1], tmp_path).index() for _ in range(2)] == [0, 0]
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_the_first_gpu_is_used_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "vaeopt.kernels.device")
    assert Claim(lambda: GPUS, tmp_path / "none").index() == 0
    assert "no GPU can be claimed, cuda:0 is used" in caplog.text


def test_a_system_without_locks_claims_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "fcntl", None)
    assert [Claim(lambda: GPUS, tmp_path).index() for _ in range(2)] == [0, 0]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def three_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with three GPUs, the first of which another process has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(device, "_claim", Claim(lambda: GPUS, tmp_path))
    elsewhere = device._locked(tmp_path / "vaeopt-GPU-a.0.lock")
    assert elsewhere is not None


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("wish", "numbers", "expected"),
    [
        ("auto", None, "cuda:1"),
        ("auto", 10**9, "cuda:1"),
        ("auto", 1000, "cpu"),
        ("cuda", 1000, "cuda:1"),
        ("cuda:2", None, "cuda:2"),
        ("cuda:0", None, "cuda:0"),
        ("cpu", 10**9, "cpu"),
    ],
)
def test_a_wish_becomes_a_device(wish: str, numbers: int | None, expected: str) -> None:
    for _ in range(2):
        found = resolve_device(wish, setting="vae.device", numbers=numbers)
        assert found == torch.device(expected)


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("wish", "before", "after"),
    [
        ("auto", "cuda", "cuda:1"),
        ("cuda", "cuda", "cuda:1"),
        ("cuda:2", "cuda:2", "cuda:2"),
        ("cpu", "cpu", "cpu"),
    ],
)
def test_what_is_expected_claims_nothing(
    wish: str, before: str, after: str, tmp_path: Path
) -> None:
    assert expect_device(wish, setting="here") == torch.device(before)
    assert [path.name for path in tmp_path.iterdir()] == ["vaeopt-GPU-a.0.lock"]
    assert resolve_device("cuda", setting="here") == torch.device("cuda:1")
    assert expect_device(wish, setting="here") == torch.device(after)


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize("find", [resolve_device, expect_device])
def test_a_gpu_beyond_the_last_is_an_error(find: Callable[..., torch.device]) -> None:
    with pytest.raises(VaeoptError, match=r"^here: device 'cuda:3' is not there \(3 CUDA devices"):
        find("cuda:3", setting="here")


@pytest.mark.parametrize("wish", ["auto", "cuda", "cpu"])
def test_without_a_gpu_only_cuda_is_refused(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if wish != "cuda":
        assert expect_device(wish, setting="here") == torch.device("cpu")
        return
    with pytest.raises(VaeoptError, match=r"^here: device 'cuda' is not there \(0 CUDA devices"):
        expect_device(wish, setting="here")


def test_a_lock_file_is_open_to_other_users(tmp_path: Path) -> None:
    path, mask = tmp_path / "lock", os.umask(0o077)
    file = device._locked(path)
    os.umask(mask)
    assert file is not None
    assert path.stat().st_mode & 0o777 == 0o644
    assert device._locked(path) is None
    os.close(file)
    again = device._locked(path)
    assert again is not None
    os.close(again)
