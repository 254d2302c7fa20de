"""Generators of data on which a method's claim can be seen."""

from minimalml.datasets._gaussian_classes import make_gaussian_classes

__all__ = ["make_gaussian_classes"]
