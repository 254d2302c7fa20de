"""Why ensembles err less than their trees, and how smooth they are far from the data."""

import numpy as np
from sklearn.utils import check_array, check_random_state

from minimalml._core.validation import Integral, Interval, validate_params
from minimalml.inspection._forest_smoothers._forest_smoothers import parameters_of_rows
from minimalml.inspection._forest_smoothers._smoother import checked_smoother


def error_mechanisms(predictions, target):
    """Take apart the errors of a method that was fitted again and again on the same data.

    The best of the fits stands for what the method can express on these data; how far
    others are from it is the method's own randomness. O(R m) time.

    Parameters
    ----------
    predictions : array-like of shape (R, m)
        Predictions of R fits with other randomness on m rows.

    target : array-like of shape (m,)
        The values to predict, best without noise.

    Returns
    -------
    dict
        ``mse``, ndarray of shape (R,), mean squared error of each fit;
        ``representation_bias``, that of the best fit;
        ``model_variability``, mean squared distance of fits from the best one;
        ``average_excess``, mean error less that of the best fit.

    Raises
    ------
    ValueError
        If shapes don't agree, or a number is not finite.

    References
    ----------
    .. [1] Curth et al., "Why do Random Forests Work?", 2024. arXiv:2402.01502

    Examples
    --------
    >>> from minimalml.inspection import error_mechanisms
    >>> parts = error_mechanisms([[1.0, 1.0], [1.0, 3.0]], [1.0, 1.0])
    >>> float(parts["representation_bias"]), float(parts["model_variability"])
    (0.0, 1.0)
    """
    predictions = check_array(predictions, dtype=np.float64, input_name="predictions")
    target = check_array(target, dtype=np.float64, ensure_2d=False, input_name="target")
    if target.shape != predictions.shape[1:]:
        raise ValueError(
            f"target must have one number for each of the {predictions.shape[1]} columns "
            f"of predictions, got shape {target.shape}."
        )
    errors = ((predictions - target) ** 2).mean(axis=1)
    best = errors.argmin()
    return {
        "mse": errors,
        "representation_bias": errors[best],
        "model_variability": ((predictions - predictions[best]) ** 2).mean(),
        "average_excess": errors.mean() - errors[best],
    }


@validate_params(
    {
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def effective_parameters_by_offset(
    model, X_train, offsets, *, y_train=None, n_repeats=10, random_state=None
):
    """Measure how a model smooths at growing distances from its training rows.

    Each training row is moved in every feature by a number uniform between minus and
    plus the offset. Models that remember their training rows have as many effective
    parameters there, and far fewer beside them.

    Parameters
    ----------
    model : estimator
        Fitted, as `smoother_weights` takes it.

    X_train : array-like of shape (n_train, n_features)
        What it was fitted on: numbers.

    offsets : array-like of shape (n_offsets,)
        At least 0, in units of X.

    y_train : array-like of shape (n_train,) or (n_train, n_outputs), default=None
        Its targets.

    n_repeats : int, default=10
        Draws for each offset.

    random_state : int, RandomState instance or None, default=None
        Seed of the draws.

    Returns
    -------
    ndarray of shape (n_offsets,)
        Effective parameters at each offset.

    Raises
    ------
    ValueError
        If an offset is negative, or as `effective_parameters` does.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from minimalml.datasets import make_mars
    >>> from minimalml.inspection import effective_parameters_by_offset
    >>> X, y = make_mars(200, random_state=0)
    >>> forest = RandomForestRegressor(random_state=0).fit(X, y)
    >>> near, far = effective_parameters_by_offset(forest, X, [0, 0.2], random_state=0)
    >>> bool(near > 2 * far)
    True
    """
    offsets = check_array(
        offsets, dtype=np.float64, ensure_2d=False, input_name="offsets"
    )
    if offsets.ndim != 1 or offsets.min() < 0:
        raise ValueError(
            f"offsets must be a list of numbers of at least 0, got {offsets}."
        )
    rng = check_random_state(random_state)
    smoother = checked_smoother(model, X_train, y_train)
    # A data frame keeps its names
    rows = X_train if hasattr(X_train, "iloc") else np.asarray(X_train, float)

    def at(offset):
        moved = rows + rng.uniform(-offset, offset, size=rows.shape)
        return parameters_of_rows(smoother, moved)

    return np.array([
        np.mean([at(offset) for _ in range(n_repeats)])
        if offset > 0 else parameters_of_rows(smoother)
        for offset in offsets
    ])  # fmt: skip
