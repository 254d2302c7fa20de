"""Generators of data on which a method's claim can be seen."""

from minimalml.datasets._bags import make_aggregate_regression, make_bags
from minimalml.datasets._compositions import make_compositions
from minimalml.datasets._expert_families import make_expert_families
from minimalml.datasets._gaussian_classes import make_gaussian_classes
from minimalml.datasets._low_rank_tasks import make_low_rank_tasks
from minimalml.datasets._mars import make_mars
from minimalml.datasets._mil_unit_tests import make_mil_unit_test
from minimalml.datasets._rotated_digits import make_rotated_digits
from minimalml.datasets._subsets import (
    make_odd_one_out_subsets,
    make_two_moons_subsets,
)

__all__ = [
    "make_aggregate_regression",
    "make_bags",
    "make_compositions",
    "make_expert_families",
    "make_gaussian_classes",
    "make_low_rank_tasks",
    "make_mars",
    "make_mil_unit_test",
    "make_odd_one_out_subsets",
    "make_rotated_digits",
    "make_two_moons_subsets",
]
