"""The compiled kernel: made once, kept, made again when it is damaged, done without."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaeopt.kernels.native import build


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and nothing remembered of the usual one."""
    monkeypatch.setenv("VAEOPT_CACHE_DIR", str(tmp_path / "cache"))
    build.library.cache_clear()
    yield tmp_path / "cache"
    build.library.cache_clear()


@pytest.fixture
def small_source(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source that compiles at once."""
    if not any(map(shutil.which, build._COMPILERS)):
        pytest.skip("there is no C++ compiler")
    source = tmp_path / "small.cpp"
    source.write_text('extern "C" int vaeopt_bf16(void) { return 0; }\n')
    monkeypatch.setattr(build, "_SOURCE", source)
    return source


def _only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_compiler_that_fails_is_named_with_its_first_line(
    fresh: Path, small_source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small_source.write_text("#error nothing works today\n")
    with caplog.at_level(logging.WARNING, logger="vaeopt"):
        assert build.library() is None
        assert build.library() is None
    (record,) = caplog.records
    assert "nothing works today" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert list(fresh.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    small_source: Path, fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, logger="vaeopt"):
        assert build.library() is None
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("small_source")
def test_a_second_process_finds_what_the_first_has_compiled(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build.library() is not None
    before = _only_file(fresh).stat()
    build.library.cache_clear()
    monkeypatch.setattr(build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert build.library() is not None
    assert _only_file(fresh).stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.usefixtures("small_source")
@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_a_damaged_file_is_compiled_again(fresh: Path, damage: bytes | None) -> None:
    assert build.library() is not None
    path = _only_file(fresh)
    whole = path.read_bytes()
    path.unlink()  # and not overwritten: it is in use
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    build.library.cache_clear()
    library = build.library()
    assert library is not None
    assert library.vaeopt_bf16() == 0
    assert path.read_bytes() == whole


def test_another_source_gets_another_file(fresh: Path, small_source: Path) -> None:
    assert build.library() is not None
    small_source.write_text('extern "C" int vaeopt_bf16(void) { return 1; }\n')
    build.library.cache_clear()
    library = build.library()
    assert library is not None
    assert library.vaeopt_bf16() == 1
    assert len(list(fresh.iterdir())) == 2


def test_processes_may_race_for_the_same_file(fresh: Path, small_source: Path) -> None:
    code = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('build', sys.argv[1])\n"
        "build = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(build)\n"
        "build._SOURCE = pathlib.Path(sys.argv[2])\n"
        "assert build.library().vaeopt_bf16() == 0\n"
    )
    command = [sys.executable, "-c", code, str(build.__file__), str(small_source)]
    racing = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]  # noqa: S603
    for process in racing:
        _, message = process.communicate(timeout=60)
        assert (process.returncode, message) == (0, b"")
    assert _only_file(fresh).suffix == ".so"


def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VAEOPT_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache_folder() == tmp_path / "vaeopt"
    monkeypatch.setenv("VAEOPT_CACHE_DIR", str(tmp_path / "own"))
    assert build.cache_folder() == tmp_path / "own"
