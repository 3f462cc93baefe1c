"""A bucket of S3, or of a server that speaks like it, as one of Optuna's artifact stores."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from optuna.artifacts import Boto3ArtifactStore

from vaeopt.core.errors import StudyError
from vaeopt.study.artefacts.places import SETTING, Place

__all__ = ["Bucket", "UnreachableError"]


class UnreachableError(StudyError):
    """The bucket does not answer, or not as it should."""


class Bucket:
    """Files of trials in a bucket, below a prefix.

    Args:
        place: which bucket, and where.

    Raises:
        StudyError: boto3 is not there.
    """

    def __init__(self, place: Place) -> None:
        try:
            import boto3
            import botocore.config
        except ImportError as error:
            raise StudyError(
                "boto3 is needed for s3:// and not installed",
                setting=SETTING,
                remedy='install it with pip install "vaeopt[s3]"',
            ) from error
        self._place = place
        patience = botocore.config.Config(
            connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 3}
        )
        with self._told():
            # A session of its own: boto3's shared one is not made for threads.
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=place.endpoint_url,
                region_name=place.region,
                config=patience,
            )
        self._store = Boto3ArtifactStore(place.bucket, self._client)

    def __str__(self) -> str:
        """As in the URL."""
        return str(self._place)

    def check(self) -> None:
        """Ask for the bucket.

        Raises:
            UnreachableError: in one line why not.
        """
        with self._told():
            self._client.head_bucket(Bucket=self._place.bucket)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content of a file; Optuna calls this."""
        with self._told():
            return self._store.open_reader(self._key(artifact_id))

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Send a file; Optuna calls this."""
        with self._told():
            self._store.write(self._key(artifact_id), content_body)

    def remove(self, artifact_id: str) -> None:
        """Forget a file; Optuna calls this."""
        with self._told():
            self._store.remove(self._key(artifact_id))

    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file below the prefix, by id."""
        found: dict[str, int] = {}
        prefix = self._key("")
        with self._told():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._place.bucket, Prefix=prefix):
                for held in page.get("Contents", ()):
                    found[held["Key"].removeprefix(prefix)] = held["Size"]
        return found

    def _key(self, artifact_id: str) -> str:
        return f"{self._place.prefix}/{artifact_id}" if self._place.prefix else artifact_id

    @contextmanager
    def _told(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error, ValueError) as error:
            status = (
                getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode")
            )
            why = {403: "access is denied", 404: "there is no such bucket"}.get(status, str(error))
            where = f" at {self._place.endpoint_url}" if self._place.endpoint_url else ""
            raise UnreachableError(
                f"{self}{where} cannot be used: {why}",
                setting=SETTING,
                remedy="check the URL, the keys (AWS_ACCESS_KEY_ID or ~/.aws/credentials) and the "
                "network",
            ) from error
