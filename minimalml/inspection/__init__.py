"""See what a data set holds and what a model makes of it.

`DendroMap` shows thousands of images or rows in a zoomable map, and finds groups in which a
model fails. `SmootherAnalysis` says how much a forest or boosting smooths, and which training
rows made a prediction; `smoother_weights` and `effective_parameters` do of fitted models.
`QuadAttack` perturbs inputs so that k wrong classes lead in a given order, and scores
robustness; `OrderedTopKSolver` is for attacks of one's own.
"""

from minimalml.inspection._dendromap._dendro_tree import DendroTree
from minimalml.inspection._dendromap._dendromap import DendroMap
from minimalml.inspection._dendromap._treemap_layout import (
    TreemapLayout,
    treemap_layout,
)
from minimalml.inspection._dendromap._ward_linkage import ward_linkage
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
    "DendroMap",
    "DendroTree",
    "OrderedAttackDisplay",
    "OrderedTopKSolver",
    "QuadAttack",
    "SmootherAnalysis",
    "TreemapLayout",
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
    "treemap_layout",
    "ward_linkage",
]
