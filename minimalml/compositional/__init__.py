"""Recognise combinations of known parts that training never showed.

Rows carry an (attribute, object) pair, such as ("sliced", "apple"). Some pairs occur in
training; others, of the same attributes and objects, appear only later.
"""

from minimalml.compositional._czsl_curve import (
    BiasGaps,
    TopPairs,
    curve_from_gaps,
    czsl_auc_score,
    czsl_curve,
    czsl_gaps,
)

__all__ = [
    "BiasGaps",
    "TopPairs",
    "curve_from_gaps",
    "czsl_auc_score",
    "czsl_curve",
    "czsl_gaps",
]
