"""See what a data set holds and where a model fails, and measure how steerable it is.

`DendroMap` shows thousands of images or rows in a zoomable map, and finds groups in which a
model fails; `ward_linkage` is its tree, `treemap_layout` its boxes.

`QuadAttack` perturbs inputs so that k wrong classes lead in a given order; its
``score`` is robustness, its losses are three. `solve_ordered_top_k` is the quadratic
programme in its loop, `OrderedTopKSolver` one that goes on from its last solve, for
attacks of one's own.
"""

from minimalml.inspection._dendromap._dendro_tree import DendroTree
from minimalml.inspection._dendromap._dendromap import DendroMap
from minimalml.inspection._dendromap._treemap_layout import (
    TreemapLayout,
    treemap_layout,
)
from minimalml.inspection._dendromap._ward_linkage import ward_linkage
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
    "TreemapLayout",
    "adversarial_distillation_loss",
    "cw_top_k_loss",
    "ordered_top_k_loss",
    "ordered_top_k_report",
    "ordered_top_k_success",
    "ordering_pairs",
    "project_features",
    "sample_ordered_targets",
    "solve_ordered_top_k",
    "treemap_layout",
    "ward_linkage",
]
