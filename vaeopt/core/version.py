"""The version of this code: what is installed under its name may be another, or nothing."""

__all__ = ["__version__"]

__version__ = "0.1.0"
