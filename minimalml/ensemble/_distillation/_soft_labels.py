"""Any scikit-learn estimator as student: fitted on probabilities in place of labels."""

import numpy as np
from sklearn.base import is_regressor

from minimalml.ensemble._distillation._teachers import (
    answer_of,
    fit_weighted,
    weight_name,
)

# Classes below this probability are no rows of their own.
LOWEST = 1e-3


def check_student(student, classes):
    """Refuse a student that can't be fitted on probabilities of ``classes``, or numbers."""
    if is_regressor(student):
        return
    name = type(student).__name__
    if classes is None:
        raise TypeError(f"student must be a regressor, got {name}.")
    if weight_name(student) is None:
        raise TypeError(
            f"student ({name}) must take sample_weight in fit, or be a regressor, to learn "
            "from probabilities."
        )


def fit_student(student, X, P, sample_weight, classes):
    """Fit a classifier on rows repeated for their classes, a regressor on ``P`` itself.

    A repetition weighs the probability of its class, so that a learner of the log loss
    minimises the cross-entropy with ``P``.
    """
    if is_regressor(student):
        return fit_weighted(student, X, P, sample_weight, "the student")
    kept = np.where(P > LOWEST, P, 0.0)
    # of very many classes all may be low: then all are kept
    kept = np.where(kept.any(axis=1, keepdims=True), kept, P)
    kept /= kept.sum(axis=1, keepdims=True)
    rows, columns = np.nonzero(kept)
    weights = kept[rows, columns]
    if sample_weight is not None:
        weights = weights * sample_weight[rows]
    return fit_weighted(student, X[rows], classes[columns], weights, "the student")


def student_answer(student, X, classes):
    """Return probabilities of ``classes`` by a student of either kind, or its numbers."""
    if classes is not None and is_regressor(student):
        P = np.clip(np.reshape(student.predict(X), (X.shape[0], len(classes))), 0, None)
        sums = P.sum(axis=1, keepdims=True)
        even = np.full_like(P, 1 / len(classes))
        return np.divide(P, sums, out=even, where=sums > 0)
    if hasattr(student, "predict_proba") and np.array_equal(student.classes_, classes):
        return student.predict_proba(X)
    return answer_of(student, "the student", X, classes)
