"""Look into a model that one holds: how steerable it is, how smooth, and from which rows.

`QuadAttack` perturbs inputs of a classifier so that k wrong classes lead in a given order;
its ``score`` is robustness, and `OrderedTopKSolver` serves attacks of one's own.
`SmootherAnalysis` fits a forest, boosting or another smoother and tells its effective
parameters anywhere, and which training rows made a prediction; `effective_parameters` and
`smoother_weights` do so for models that are fitted.
"""

from minimalml.inspection._forest_smoothers._forest_smoothers import (
    SmootherAnalysis,
    effective_parameters,
    smoother_weights,
    smoothness_scorer,
)
from minimalml.inspection._forest_smoothers._mechanisms import (
    effective_parameters_by_offset,
    error_mechanisms,
)
from minimalml.inspection._quad_attack._losses import (
    adversarial_distillation_loss,
    cw_top_k_loss,
    ordered_top_k_loss,
)
from minimalml.inspection._quad_attack._ordered_top_k import (
    OrderedTopKSolver,
    project_features,
    solve_ordered_top_k,
)
from minimalml.inspection._quad_attack._quad_attack import QuadAttack
from minimalml.inspection._quad_attack._report import (
    OrderedAttackDisplay,
    ordered_top_k_report,
)
from minimalml.inspection._quad_attack._targets import (
    ordered_top_k_success,
    ordering_pairs,
    sample_ordered_targets,
)

__all__ = [
    "OrderedAttackDisplay",
    "OrderedTopKSolver",
    "QuadAttack",
    "SmootherAnalysis",
    "adversarial_distillation_loss",
    "cw_top_k_loss",
    "effective_parameters",
    "effective_parameters_by_offset",
    "error_mechanisms",
    "ordered_top_k_loss",
    "ordered_top_k_report",
    "ordered_top_k_success",
    "ordering_pairs",
    "project_features",
    "sample_ordered_targets",
    "smoother_weights",
    "smoothness_scorer",
    "solve_ordered_top_k",
]
