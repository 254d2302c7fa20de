"""Generators of data on which a method's claim can be seen."""

from minimalml.datasets._compositions import make_compositions

__all__ = ["make_compositions"]
