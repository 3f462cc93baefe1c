"""No verb shows or stores the password of a storage URL."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.postgres import PASSWORD, Postgres
from tests.study.tiny import ONE, write_study
from vaeopt.cli import main
from vaeopt.core.secrets import masked, remember_secrets

VERBS = [
    ["optimize", "--n-trials", "1"],
    ["status"],
    ["best"],
    ["report"],
    ["export", "--trial", "0", "--out", "out"],
    ["replay", "--trial", "0"],
    ["confirm", "--top", "1", "--seeds", "1"],
    ["rescore", "--reward", "rate"],
]
WRONG = "n0t-the-Password"


@pytest.mark.parametrize(
    "make_wrong",
    [
        lambda url: url.replace(PASSWORD, WRONG),
        lambda url: url.replace("127.0.0.1", "no-such-host.invalid"),
        lambda url: url.replace("postgresql:", "postgresql+nodriver:"),
        lambda url: url.replace("/db", ":port/db"),
        lambda url: f"{url}?password={WRONG}&no_such_option=1",
    ],
    ids=["password", "host", "driver", "port", "option"],
)
def test_a_storage_that_does_not_open_shows_no_password(
    make_wrong: Callable[[str], str],
    tmp_path: Path,
    postgres_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    url = make_wrong(postgres_url)
    for name in ("optimize", "status", "report"):
        assert main([name, str(folder), "--storage", url]) == 2
        shown = capsys.readouterr()
        assert len(shown.err.splitlines()) == 1
        assert PASSWORD not in shown.out + shown.err
        assert WRONG not in shown.out + shown.err


def test_a_whole_study_shows_and_stores_no_password(
    tmp_path: Path,
    postgres_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    for name, *options in VERBS:
        status = main([name, str(folder), "--storage", postgres_url, *options])
        shown = capsys.readouterr()
        assert status in (0, 1, 3), shown.err
        assert PASSWORD not in shown.out + shown.err, name
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    with psycopg.connect(postgres_url) as connection:
        for table in ("study_user_attributes", "trial_user_attributes", "trial_system_attributes"):
            rows = connection.execute(f"SELECT value_json FROM {table}".encode()).fetchall()  # noqa: S608
            assert PASSWORD not in str(rows)


def test_an_unexpected_error_shows_no_password(postgres: Postgres) -> None:
    url = postgres.url()
    code = (
        "import vaeopt.cli as cli, sys\n"
        "def broken(arguments): raise RuntimeError(sys.argv[1])\n"
        "import vaeopt.cli.verbs as verbs\n"
        "verbs.kinds = broken\n"
        "from vaeopt.core.secrets import remember_secrets\n"
        "remember_secrets(sys.argv[1])\n"
        "sys.exit(cli.main(['kinds']))\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: postgresql://vaeopt:***@" in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:top%40secret@host:5432/x is away",
        "mysql+pymysql://me:top%40secret@host/x?charset=utf8",
        "cannot connect with top@secret",
        "postgresql://host/x?user=me&password=top%40secret&sslmode=require",
        "two: a://b:top%40secret@c and d://e:top%40secret@f",
    ],
)
def test_passwords_are_masked_where_they_stand(text: str) -> None:
    remember_secrets("postgresql://me:top%40secret@host/x")
    assert "secret" not in masked(text)
    assert "***" in masked(text)


@pytest.mark.parametrize("words", ["optimize s --workers", "status s"])
def test_a_url_in_the_wrong_place_shows_no_password(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words.split(), "postgresql://me:0wn-S3cret@host/x"])
    assert "://me:***@host/x" in (shown := capsys.readouterr().err), shown
    assert "0wn-S3cret" not in shown


def test_what_is_no_password_stays() -> None:
    for text in ("sqlite:///a:b@c.db", "http://127.0.0.1:8080/dashboard/", "me@host: 3 of 4"):
        assert masked(text) == text
