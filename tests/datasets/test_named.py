"""Named scans: found or downloaded, checked, and one line where that fails. No network is used."""

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vaeopt.core.errors import DataError
from vaeopt.datasets import NAMED_SCANS, NamedScan, fetch, named

CONTENT = b"a scan"
SCAN = NamedScan(
    name="toy",
    url="https://example.invalid/toy.h5",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    filename="toy.h5",
    channel="amplitude",
    licence="CC0",
    citation="none",
    description="bytes for tests",
)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of our own, no VAEOPT_DATA_DIR, no network, and a small scan called toy."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("the network is blocked in tests")

    folder = tmp_path / "cache"
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("pooch.os_cache", lambda project: folder / project)
    monkeypatch.setattr(named, "NAMED_SCANS", {**NAMED_SCANS, "toy": SCAN})
    monkeypatch.delenv(named.DATA_DIR_VARIABLE, raising=False)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bytes], list[str]]:
    """Make every request be answered with a status and a body; returns the URLs asked for."""
    requests = pytest.importorskip("requests")

    def answer(status: int, body: bytes) -> list[str]:
        asked: list[str] = []

        def get(url: str, **_: Any) -> Any:
            asked.append(url)
            response = requests.Response()
            response.status_code, response.url, response.raw = status, url, io.BytesIO(body)
            return response

        monkeypatch.setattr("requests.get", get)
        return asked

    return answer


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv(named.DATA_DIR_VARIABLE, str(folder))
    return folder


@pytest.fixture
def pooch_log() -> Iterator[list[logging.LogRecord]]:
    """What pooch would write to the terminal."""
    pooch = pytest.importorskip("pooch")
    records: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        records.append(record)
        return False

    handler = logging.Handler()
    handler.addFilter(keep)
    pooch.get_logger().addHandler(handler)
    yield records
    pooch.get_logger().removeHandler(handler)


def refusal(name: str) -> DataError:
    """The error of a fetch, which must be one line."""
    with pytest.raises(DataError) as caught:
        fetch(name)
    assert "\n" not in str(caught.value)
    return caught.value


def shared_data() -> Path:
    """The folder with real data beside the project, where there is one."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data beside the project ({folder.name} in {folder.parent.name})")
    return folder


@pytest.mark.parametrize("name", NAMED_SCANS)
def test_every_entry_is_complete_and_pinned(name: str) -> None:
    scan = NAMED_SCANS[name]
    assert scan.name == name
    assert re.fullmatch(r"[0-9a-f]{64}", scan.sha256)
    assert re.fullmatch(r"https://\S+/[0-9a-f]{40}/\S+", scan.url), "a URL of one commit"
    assert scan.url.endswith("/" + scan.filename)
    assert all((scan.channel, scan.licence, scan.citation, scan.description))


def test_file_names_are_unique_because_the_cache_is_flat() -> None:
    names = [scan.filename for scan in NAMED_SCANS.values()]
    assert len(set(names)) == len(names)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    assert "did you mean 'pzt-2um'? (known: " in str(refusal("pzt-2mu"))


def test_an_unknown_name_far_from_any_is_answered_with_the_list() -> None:
    assert "known: pzt-2um, toy" in str(refusal("xxxxxxxxxx"))


def test_a_file_in_the_data_folder_is_used_where_it_lies(data_dir: Path, cache: Path) -> None:
    file = data_dir / "toy.h5"
    file.write_bytes(CONTENT)
    assert fetch("toy") == file
    assert not cache.exists()


def test_a_file_anywhere_below_the_data_folder_is_found(data_dir: Path) -> None:
    file = data_dir / "real" / "pfm" / "toy.h5"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert fetch("toy") == file


def test_of_two_files_the_published_one_is_taken(data_dir: Path) -> None:
    (data_dir / "toy.h5").write_bytes(b"another scan of this name")
    file = data_dir / "below" / "toy.h5"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    assert fetch("toy") == file


def test_a_file_with_another_checksum_is_refused(data_dir: Path) -> None:
    (data_dir / "toy.h5").write_bytes(b"edited")
    error = refusal("toy")
    assert error.setting == named.DATA_DIR_VARIABLE
    assert SCAN.sha256 in str(error)
    assert hashlib.sha256(b"edited").hexdigest() in str(error)


def test_a_folder_without_the_file_is_not_passed_over(
    data_dir: Path, server: Callable[[int, bytes], list[str]]
) -> None:
    asked = server(200, CONTENT)
    error = refusal("toy")
    assert "no toy.h5 in" in str(error)
    assert error.remedy is not None
    assert SCAN.url in error.remedy
    assert asked == []


def test_a_data_folder_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(named.DATA_DIR_VARIABLE, str(tmp_path / "missing"))
    error = refusal("toy")
    assert error.setting == named.DATA_DIR_VARIABLE
    assert "is not a folder" in str(error)


def test_an_empty_variable_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, server: Callable[[int, bytes], list[str]]
) -> None:
    server(200, CONTENT)
    monkeypatch.setenv(named.DATA_DIR_VARIABLE, "")
    assert fetch("toy").read_bytes() == CONTENT


@pytest.mark.parametrize("name", NAMED_SCANS)
def test_real_scans_beside_the_project_are_the_published_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared_data()
    monkeypatch.setenv(named.DATA_DIR_VARIABLE, str(folder))
    assert fetch(name).name == NAMED_SCANS[name].filename


def test_a_download_is_cached_and_silent(
    server: Callable[[int, bytes], list[str]],
    cache: Path,
    pooch_log: list[logging.LogRecord],
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked = server(200, CONTENT)
    first, second = fetch("toy"), fetch("toy")
    assert first == second == cache / "vaeopt" / "toy.h5"
    assert first.read_bytes() == CONTENT
    assert asked == [SCAN.url]
    assert pooch_log == []
    assert capfd.readouterr() == ("", "")


def test_the_logger_of_pooch_is_put_back(
    server: Callable[[int, bytes], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch.get_logger(), "level", logging.INFO)
    server(404, b"")
    refusal("toy")
    assert pooch.get_logger().level == logging.INFO


def test_a_damaged_file_in_the_cache_is_downloaded_again(
    server: Callable[[int, bytes], list[str]], cache: Path
) -> None:
    server(200, CONTENT)
    (cache / "vaeopt").mkdir(parents=True)
    (cache / "vaeopt" / "toy.h5").write_bytes(b"half a sc")
    assert fetch("toy").read_bytes() == CONTENT


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    server: Callable[[int, bytes], list[str]], cache: Path
) -> None:
    server(200, b"a login page")
    error = refusal("toy")
    assert "SHA-256 differs" in str(error)
    assert list(cache.rglob("toy.h5")) == []


def test_a_missing_page_is_named_and_the_way_out_too(
    server: Callable[[int, bytes], list[str]],
) -> None:
    server(404, b"not found")
    error = refusal("toy")
    assert "HTTP 404" in str(error)
    assert error.remedy is not None
    assert {named.DATA_DIR_VARIABLE, "toy.h5"} <= set(error.remedy.split())
    assert SCAN.sha256 in error.remedy


def test_without_a_network_the_way_out_is_named() -> None:
    error = refusal("pzt-2um")
    assert "cannot download 'pzt-2um'" in str(error)
    assert "set VAEOPT_DATA_DIR to a folder that has PZT_final0001.h5" in str(error)


def test_a_cache_that_cannot_be_written_is_one_line(
    server: Callable[[int, bytes], list[str]], cache: Path
) -> None:
    server(200, CONTENT)
    cache.write_text("a file where the cache folder should be")
    assert "cannot download 'toy'" in str(refusal("toy"))
