"""One file per format: each turns a path into a :class:`RawScan` with named channels."""

from vaeopt.stages.micrograph.readers.base import RawScan, read

__all__ = ["RawScan", "read"]
