"""Generators of data on which a method's claim can be seen."""

from minimalml.datasets._low_rank_tasks import make_low_rank_tasks

__all__ = ["make_low_rank_tasks"]
