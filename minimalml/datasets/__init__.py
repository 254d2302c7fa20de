"""Generators of data on which a method's claim can be seen."""

__all__ = []
