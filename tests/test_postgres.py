"""The PostgreSQL server of the tests is a real one, and is gone afterwards."""

import psycopg
import pytest

from tests.postgres import PASSWORD, Postgres, running


def test_each_test_has_an_empty_database(postgres: Postgres) -> None:
    first, second = postgres.database(), postgres.database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE held (x int)")
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT to_regclass('held')").fetchone() == (None,)


def test_it_wants_the_password(postgres_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_url.replace(PASSWORD, "another"))


def test_it_keeps_its_port_and_its_data_over_a_restart_and_ends_with_its_block() -> None:
    with running() as server:
        url = server.database()
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        server.start()
        psycopg.connect(url).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
