"""Measure how steerable a classifier is that one holds."""

from minimalml.robustness._losses import (
    adversarial_distillation_loss,
    cw_top_k_loss,
    ordered_top_k_loss,
)
from minimalml.robustness._ordered_top_k import project_features, solve_ordered_top_k
from minimalml.robustness._quad_attack import QuadAttack
from minimalml.robustness._targets import (
    ordered_top_k_success,
    ordering_pairs,
    sample_ordered_targets,
)

__all__ = [
    "QuadAttack",
    "adversarial_distillation_loss",
    "cw_top_k_loss",
    "ordered_top_k_loss",
    "ordered_top_k_success",
    "ordering_pairs",
    "project_features",
    "sample_ordered_targets",
    "solve_ordered_top_k",
]
