"""Measure how steerable a classifier is that one holds."""

from minimalml.robustness._ordered_top_k import project_features, solve_ordered_top_k
from minimalml.robustness._targets import (
    ordered_top_k_success,
    ordering_pairs,
    sample_ordered_targets,
)

__all__ = [
    "ordered_top_k_success",
    "ordering_pairs",
    "project_features",
    "sample_ordered_targets",
    "solve_ordered_top_k",
]
