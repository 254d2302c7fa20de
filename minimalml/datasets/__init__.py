"""Generators of data on which a method's claim can be seen."""

from minimalml.datasets._rotated_digits import make_rotated_digits

__all__ = ["make_rotated_digits"]
