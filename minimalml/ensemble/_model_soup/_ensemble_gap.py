"""How far a soup of two models is from their ensemble, and why.

Wortsman et al., "Model soups", ICML 2022, section 4.
"""

import numpy as np
from scipy.special import log_softmax, softmax

from minimalml._core.arrays import to_numpy
from minimalml.ensemble._model_soup._averages import interpolate_weights


def soup_ensemble_gap(logit_fn, a, b, X, y, *, t=0.5, beta=1.0, step=1e-2):
    r"""Compare the loss of two averaged models with that of their averaged logits.

    Where the gap is near 0 or below, averaging weights loses nothing against keeping both
    models. The approximation says why not: loss that curves upwards between the two is
    good for soups, disagreement about rows of which the model is unsure is bad. Takes
    five calls of ``logit_fn``.

    Parameters
    ----------
    logit_fn : callable
        ``logit_fn(weights, X)`` returns logits of shape (n_samples, n_classes), array or
        tensor, of weights of the kind of ``a``.

    a, b : mapping or list of arrays, torch.nn.Module or fitted estimator
        Two models as in `average_weights`.

    X : array-like of shape (n_samples, ...)
        Rows, as ``logit_fn`` takes them.

    y : array-like of int of shape (n_samples,)
        Columns of the logits that are right.

    t : float, default=0.5
        Weight of ``b``, in [0, 1].

    beta : float, default=1.0
        What logits are multiplied by before the softmax.

    step : float, default=0.01
        Difference of ``t`` by which the curvature is measured. With weights of float32
        the curvature is off by about 1e-7 of the loss over the square of it.

    Returns
    -------
    dict of str to float
        ``soup_loss`` and ``ensemble_loss``, mean cross-entropies; ``gap``, the former
        minus the latter; ``curvature``, the second derivative of the soup's loss along
        ``t``; ``disagreement``, the mean variance of the difference of logits under the
        soup's probabilities; ``approximation`` of the gap by these two.

    Raises
    ------
    ValueError
        If ``t``, ``beta`` or ``step`` is out of range, y has no columns of the logits, or
        the models are not alike.

    Notes
    -----
    With :math:`\theta_t = (1-t)\theta_a + t\theta_b` and the mean cross-entropy L,

    .. math:: L_\mathrm{soup}(t) - L_\mathrm{ensemble}(t) \approx \frac{t(1-t)}{2}
        \Bigl(-\frac{d^2}{dt^2} L_\mathrm{soup}(t) + \beta^2\, \mathrm{mean}_x
        \mathrm{Var}_Y\bigl[f_Y(x; \theta_b) - f_Y(x; \theta_a)\bigr]\Bigr)

    where Y is drawn from the softmax of :math:`\beta f(x; \theta_t)`; the error is of
    third order in the distance of the two models.

    References
    ----------
    .. [1] M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned
       models improves accuracy without increasing inference time", ICML 2022.
       arXiv:2203.05482

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import soup_ensemble_gap
    >>> a, b = {"w": np.eye(2)}, {"w": 2 * np.eye(2)}
    >>> gap = soup_ensemble_gap(lambda w, X: X @ w["w"], a, b, np.eye(2), [0, 1])
    >>> round(gap["soup_loss"], 4), round(gap["gap"], 4)  # linear: no gap
    (0.2014, 0.0)
    """
    _check_range("t", t, 0 <= t <= 1, "in [0, 1]")
    _check_range("beta", beta, 0 < beta < np.inf, "above 0")
    _check_range("step", step, 0 < step < np.inf, "above 0")
    logits_a, logits_b = _logits(logit_fn, a, X), _logits(logit_fn, b, X)
    y = _check_columns(y, logits_a)
    logits = {
        s: _logits(logit_fn, interpolate_weights(a, b, s), X)
        for s in (t - step, t, t + step)
    }
    before, soup_loss, after = (_loss(beta * f, y) for f in logits.values())
    ensemble_loss = _loss(beta * ((1 - t) * logits_a + t * logits_b), y)
    curvature = (after - 2 * soup_loss + before) / step**2
    disagreement = _mean_variance(
        logits_b - logits_a, softmax(beta * logits[t], axis=1)
    )
    bracket = beta**2 * disagreement - curvature
    return {
        "soup_loss": soup_loss,
        "ensemble_loss": ensemble_loss,
        "gap": soup_loss - ensemble_loss,
        "curvature": curvature,
        "disagreement": disagreement,
        "approximation": t * (1 - t) / 2 * bracket,
    }


def _logits(logit_fn, weights, X):
    logits = to_numpy(logit_fn(weights, X)).astype(np.float64)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            "logit_fn must return logits of shape (n_samples, n_classes) with at least 2 "
            f"classes, got shape {logits.shape}."
        )
    return logits


def _check_columns(y, logits):
    y, n_classes = to_numpy(y), logits.shape[1]
    is_column = np.issubdtype(y.dtype, np.integer) and y.shape == (len(logits),)
    if not is_column or not ((y >= 0) & (y < n_classes)).all():
        raise ValueError(
            f"y must hold a column of the logits, an integer from 0 to {n_classes - 1}, "
            f"for each of {len(logits)} rows, got {y.dtype} of shape {y.shape}."
        )
    return y


def _check_range(name, value, is_inside, allowed):
    if not is_inside:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")


def _loss(logits, y):
    return float(-log_softmax(logits, axis=1)[np.arange(len(y)), y].mean())


def _mean_variance(values, probabilities):
    mean = (probabilities * values).sum(axis=1, keepdims=True)
    return float((probabilities * (values - mean) ** 2).sum(axis=1).mean())
