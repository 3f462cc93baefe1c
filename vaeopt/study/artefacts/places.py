"""URLs of artefact stores: ``file:///folder`` and ``s3://bucket/prefix?endpoint_url=...``."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from vaeopt.core.errors import StudyError

__all__ = ["SETTING", "Place", "place_of"]

SETTING = "optuna.artefacts"


@dataclass(frozen=True)
class Place:
    """A part of a bucket."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    """of a server that is not Amazon's"""
    region: str | None = None

    def __str__(self) -> str:
        """Bucket and prefix, as in the URL."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def place_of(url: str) -> Path | Place:
    """Where a URL points to.

    Raises:
        StudyError: not understood, or with a password in it.

    >>> place_of("s3://data/scans?endpoint_url=http://minio:9000").endpoint_url
    'http://minio:9000'
    >>> place_of("file:///data/artefacts").name
    'artefacts'
    """
    try:
        parts = urlsplit(url)
        words = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        words, parts = {}, urlsplit(url.partition("?")[0])
        if parts.query or "?" in url.rstrip("?"):
            raise _unreadable() from None
    endpoint = words.get("endpoint_url")
    if "@" in parts.netloc or (endpoint and "@" in urlsplit(endpoint).netloc):
        raise StudyError(
            "the URL of the artefacts holds a name or a password, which would end up in files",
            setting=SETTING,
            remedy="leave it out: keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "from ~/.aws/credentials",
        )
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not words:
        return Path(unquote(parts.path))
    if parts.scheme != "s3" or not parts.netloc or words.keys() - {"endpoint_url", "region"}:
        raise _unreadable()
    return Place(parts.netloc, unquote(parts.path).strip("/"), endpoint, words.get("region"))


def _unreadable() -> StudyError:
    return StudyError(
        "the URL of the artefacts cannot be read",
        setting=SETTING,
        remedy="write file:///folder, or s3://bucket/prefix, or "
        "s3://bucket/prefix?endpoint_url=https://server:9000&region=name",
    )
