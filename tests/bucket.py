"""A server that speaks S3, on loopback, for the tests that need one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

KEYS = {"aws_access_key_id": "name", "aws_secret_access_key": "nothing-secret"}


@dataclass
class Server:
    """A running server with one empty bucket ``files``."""

    endpoint: str
    process: ThreadedMotoServer

    @property
    def url(self) -> str:
        """The bucket, as in a study file."""
        return f"s3://files/of/trials?endpoint_url={self.endpoint}&region=us-east-1"

    def client(self) -> Any:
        """Talks to it past vaeopt."""
        return boto3.session.Session().client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", **KEYS
        )

    def keys(self) -> list[str]:
        """Everything in the bucket."""
        found = self.client().list_objects_v2(Bucket="files").get("Contents", [])
        return sorted(held["Key"] for held in found)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One of its own for a test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["aws_secret_access_key"])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    process = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    process.start()
    try:
        host, port = process.get_host_and_port()
        server = Server(f"http://{host}:{port}", process)
        made = server.client()
        if "files" in [held["Name"] for held in made.list_buckets()["Buckets"]]:
            for key in server.keys():  # noqa: SIM118  # no dict
                made.delete_object(Bucket="files", Key=key)
        else:
            made.create_bucket(Bucket="files")
        yield server
    finally:
        process.stop()
