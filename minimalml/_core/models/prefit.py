"""Whether a meta-estimator works on the estimator that it is given, a copy, or a clone.

The parameter ``prefit`` means the same in all of them: "auto" uses what is fitted as a
whole and fits a clone of anything else, True insists on a fit, False on a new one.
"""

import copy

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from minimalml._core.arrays import is_torch_module
from minimalml._core.validation import StrOptions, check_is_fitted

PREFIT_CONSTRAINT = ["boolean", StrOptions({"auto"})]


def is_used_as_fitted(estimator, prefit="auto"):
    """Whether ``estimator`` is taken with the fit that it has.

    Parameters
    ----------
    estimator : estimator or torch.nn.Module
        Torch modules and frozen estimators count as fitted; of a Pipeline every step
        must be, where scikit-learn asks the last alone.

    prefit : bool or "auto", default="auto"
        As the meta-estimator's user set it.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If ``prefit=True`` and a part is not fitted, naming it.
    ValueError
        If ``prefit=False`` and ``estimator`` is a torch module, which can't be fitted.
    """
    if prefit is False:
        if is_torch_module(estimator):
            raise ValueError(
                "prefit=False fits a clone, which a torch module "
                f"({type(estimator).__name__}) does not know how to do: leave prefit at "
                "'auto'."
            )
        return False
    unfitted = _unfitted_part(estimator, "estimator")
    if unfitted and prefit is True:
        raise NotFittedError(
            f"prefit=True needs a fitted estimator: {unfitted} is not."
        )
    return not unfitted


def estimator_to_use(estimator, prefit="auto", *, is_changed=False):
    """Return the estimator to work on, and whether it still has to be fitted.

    Parameters
    ----------
    estimator : estimator or torch.nn.Module
        What the user gave; it stays as it is.

    prefit : bool or "auto", default="auto"
        See `is_used_as_fitted`.

    is_changed : bool, default=False
        Whether the meta-estimator writes into it: then it is a copy, without the
        FrozenEstimator around it, and so are frozen parts of a clone.

    Returns
    -------
    estimator : estimator or torch.nn.Module

    needs_fit : bool
    """
    if is_used_as_fitted(estimator, prefit):
        if not is_changed:
            return estimator, False
        while isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        return copy_of_trained(estimator), False
    estimator = clone(estimator)
    return (copy_of_trained(estimator) if is_changed else estimator), True


def copy_of_trained(estimator):
    """Return a deep copy of ``estimator``, or say why there is none.

    Raises
    ------
    TypeError
        If a part can't be copied, such as a tensor that autograd computed.
    """
    try:
        return copy.deepcopy(estimator)
    except (RuntimeError, TypeError) as error:
        advice = "."
        if "graph leaves" in str(error):
            advice = (
                ": it holds a tensor that autograd computed, as torch.nn.utils.prune and "
                "weight_norm leave behind. Run it once under torch.no_grad(), or make "
                "its weights plain, by torch.nn.utils.prune.remove or "
                "torch.nn.utils.parametrize.remove_parametrizations."
            )
        raise TypeError(
            f"estimator ({type(estimator).__name__}) can't be copied{advice}"
        ) from error


def _unfitted_part(estimator, name):
    """Say which part is not fitted; an empty string if all are."""
    if is_torch_module(estimator) or isinstance(estimator, FrozenEstimator):
        return ""
    if isinstance(estimator, Pipeline):
        parts = (
            _unfitted_part(step, f"step {step_name!r} of {name}")
            for step_name, step in estimator.steps
            if hasattr(step, "fit")  # not None or "passthrough"
        )
        return next(filter(None, parts), "")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return f"{name} ({type(estimator).__name__})"
    return ""
