"""Recognise combinations of known parts that training never showed.

Rows carry an (attribute, object) pair, such as ("sliced", "apple"). Some pairs occur in
training; others, of the same attributes and objects, appear only later.
"""

from minimalml.compositional._compositional_zero_shot import (
    CompositionalZeroShotClassifier,
)
from minimalml.compositional._czsl_curve import (
    curve_from_gaps,
    czsl_auc_score,
    czsl_curve,
)
from minimalml.compositional._czsl_display import CZSLCurveDisplay
from minimalml.compositional._czsl_gaps import BiasGaps, TopPairs, czsl_gaps
from minimalml.compositional._independent_primitives import IndependentPrimitives
from minimalml.compositional._over_sampler import ObjectSimilarityOverSampler
from minimalml.compositional._pair_classifier import make_czsl_scorer
from minimalml.compositional._pair_holdout import PairHoldoutSplit
from minimalml.compositional._primitive_attack import (
    primitive_attack,
    smoothed_pair_targets,
)
from minimalml.datasets import make_compositions

__all__ = [
    "BiasGaps",
    "CZSLCurveDisplay",
    "CompositionalZeroShotClassifier",
    "IndependentPrimitives",
    "ObjectSimilarityOverSampler",
    "PairHoldoutSplit",
    "TopPairs",
    "curve_from_gaps",
    "czsl_auc_score",
    "czsl_curve",
    "czsl_gaps",
    "make_compositions",
    "make_czsl_scorer",
    "primitive_attack",
    "smoothed_pair_targets",
]
