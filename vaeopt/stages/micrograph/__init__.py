"""From a file or a named data set to one scaled image."""

from vaeopt.stages.micrograph.load import ImageSettings, load

__all__ = ["ImageSettings", "load"]
