"""For which estimators a check has a meaning, told from their tags and signatures."""

import functools
import inspect
from unittest import SkipTest

from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags

from minimalml._core.validation import has_fit_parameter


def applies_to(*conditions):
    """Make a check raise SkipTest where a condition says why it has no meaning.

    A condition takes an estimator and returns None or the reason; the decorated check
    gives the first reason by ``skip_reason(estimator)`` as well.
    """

    def decorate(check):
        @functools.wraps(check)
        def check_if_applicable(estimator, X=None, y=None, **options):
            require_instance(estimator)
            reason = skip_reason(estimator)
            if reason is not None:
                raise SkipTest(f"{check.__name__} does not apply: {reason}.")
            check(estimator, X, y, **options)

        def skip_reason(estimator):
            reasons = (condition(estimator) for condition in conditions)
            return next((reason for reason in reasons if reason is not None), None)

        check_if_applicable.skip_reason = skip_reason
        return check_if_applicable

    return decorate


def require_instance(estimator):
    """Raise a TypeError unless ``estimator`` is an instance with a ``fit`` method."""
    if inspect.isclass(estimator):
        raise TypeError(
            f"estimator must be an instance, got the class {estimator.__name__}: pass "
            f"{estimator.__name__}()."
        )
    if not hasattr(estimator, "fit"):
        raise TypeError(
            f"estimator must have a fit method, got {type(estimator).__name__}."
        )


def deterministic(estimator):
    """Refuse estimators whose tags say that equal fits differ."""
    if get_tags(estimator).non_deterministic:
        return f"the tags of {type(estimator).__name__} say that it is random"


def weighted(estimator):
    """Refuse estimators whose fit has no sample weights."""
    if not has_fit_parameter(estimator, "sample_weight"):
        return f"{type(estimator).__name__}.fit has no parameter sample_weight"


def regressor(estimator):
    """Refuse all but regressors."""
    if not is_regressor(estimator):
        return f"{type(estimator).__name__} is not a regressor"


def classifier(estimator):
    """Refuse all but classifiers."""
    if not is_classifier(estimator):
        return f"{type(estimator).__name__} is not a classifier"
