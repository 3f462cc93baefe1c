"""What is said of storages that cannot be read, and of a study that has nothing to copy."""

from pathlib import Path

import pytest

from tests.study.tiny import ONE, write_study
from vaeopt.cli import main


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("postgresql://me:secret@server:port/studies", "postgresql://user@host:5432/database"),
        ("postgresql+psycopg://server:54x2/studies", "postgresql://user@host:5432/database"),
        ("mysql+pymysql://server:x/studies", "mysql+driver://user@host:3306/database"),
        ("grpc://server:x", "grpc://host:13000"),
        ("sqlite://:x:y/z", "sqlite:///file.db"),
    ],
)
def test_the_remedy_is_of_the_kind_that_was_meant(
    url: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    assert main(["optimize", str(folder), "--storage", url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vaeopt: optuna.storage: the storage URL cannot be read; write {form}")
    assert "secret" not in line


def test_a_study_without_trials_is_copied_and_said_to_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    assert main(["create", str(folder)]) == 0
    capsys.readouterr()
    assert main(["copy", str(folder), "--to", f"sqlite:///{tmp_path}/copy.db"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "copied study 'tiny', which has no trials yet"
    )
