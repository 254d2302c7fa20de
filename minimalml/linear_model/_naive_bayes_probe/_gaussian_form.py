"""From class moments to the parameters of Gaussian naive Bayes and its linear form.

Zheng, Wu, Bao, Cao, Li, Zhu, "Revisiting Discriminative vs. Generative Classifiers",
ICML 2023: with a variance that all classes share, log p(y | x) is linear in x.
"""

from typing import NamedTuple

import numpy as np


class LinearForm(NamedTuple):
    """Logits ``X @ coef.T + intercept``, in the order of the classes."""

    coef: np.ndarray  # (n_classes, n_features)
    intercept: np.ndarray  # (n_classes,)


class Variances(NamedTuple):
    """Variance of each feature, smoothed, and what was added to smooth it."""

    var: np.ndarray  # (n_features,) or (n_classes, n_features)
    epsilon: float


def estimate_variances(moments, *, kind, ddof, shrinkage, var_smoothing, smoothing):
    """Estimate the within-class variances from class moments.

    Parameters
    ----------
    moments : ClassMoments
        With a scatter for each class exactly if ``kind`` is "per_class".

    kind : {"shared", "per_class", "spherical"}
        Which variances are equal.

    ddof : {"ml", "pooled"}
        Divide by the total weight N, or by N minus the number of classes seen.

    shrinkage : float or "auto"
        Share of the mean over features.

    var_smoothing : float
        Added to each variance, as it is or times the largest total variance.

    smoothing : {"relative", "absolute"}
        Which of these.

    Returns
    -------
    Variances
        Rows of a class without weight are 1.
    """
    freedom = degrees_of_freedom(moments, ddof)
    if kind == "per_class":
        seen = moments.counts > 0
        var = moments.scatter / np.where(seen, freedom, 1)[:, None]
        classes_apart = zip(var, freedom - (ddof == "ml"), strict=True)
        var = np.stack([shrink(v, shrinkage, f) for v, f in classes_apart])
    else:
        var = moments.scatter / freedom
        freedom_for_noise = degrees_of_freedom(moments, "pooled")
        var = shrink(var, 1.0 if kind == "spherical" else shrinkage, freedom_for_noise)
    scale = 1.0
    if smoothing == "relative":
        # where nothing varies yet any scale does
        scale = moments.total_variance().max() or 1.0
    epsilon = var_smoothing * scale
    var = var + epsilon
    if kind == "per_class":
        var[~seen] = 1.0
    return Variances(var, float(epsilon))


def degrees_of_freedom(moments, ddof):
    """Return the divisor of the scatter: a number, or one for each class."""
    if moments.per_class:
        return moments.counts - (ddof == "pooled")
    n_seen = np.count_nonzero(moments.counts)
    return moments.counts.sum() - (n_seen if ddof == "pooled" else 0)


def too_few_samples(moments, ddof):
    """Return why there are too few samples for a variance, or None."""
    freedom = np.atleast_1d(degrees_of_freedom(moments, ddof))
    least = freedom[moments.counts > 0].min() if moments.per_class else freedom[0]
    if least > 0:
        return None
    return (
        "ddof='pooled' divides by the number of samples minus the number of classes, "
        f"which is {least:g}: give more samples or use ddof='ml'."
    )


def zero_variance(var, kind):
    """Return which variance is zero, in a sentence, or None."""
    zeros = np.argwhere(np.atleast_2d(var) == 0)
    if not len(zeros):
        return None
    name = kind.replace("_", "-")
    return f"{name} variance of feature {zeros[0, 1]} is zero; set var_smoothing > 0."


def shrink(var, shrinkage, freedom):
    """Move the variances of the features towards their mean.

    "auto" is the rule of Ledoit and Wolf on a diagonal: the noise of the variances,
    2 v² / freedom each for Gaussian features, over their spread.
    """
    if shrinkage == "auto":
        spread = ((var - var.mean()) ** 2).sum()
        if freedom <= 0 or spread == 0:
            shrinkage = 1.0
        else:
            shrinkage = min((2 * var**2 / freedom).sum() / spread, 1.0)
    return (1 - shrinkage) * var + shrinkage * var.mean()


def linear_form(moments, var, log_prior):
    """Return coefficients and intercepts of the classes under a shared variance.

    The means are centred first, which leaves the posterior as it is and keeps the
    digits of features with a large common offset.
    """
    seen = np.isfinite(log_prior)
    prior = np.exp(log_prior)
    centre = prior @ moments.offsets
    centred = np.where(seen[:, None], moments.offsets - centre, 0)
    coef = centred / var
    intercept = log_prior - 0.5 * (centred * coef).sum(axis=1)
    intercept -= coef @ (moments.origin + centre)
    return LinearForm(coef, intercept)


def effective_priors(priors, counts):
    """Return the prior of each class; a class without weight has none.

    Parameters
    ----------
    priors : None, "uniform" or array of shape (n_classes,)
        What the user asked for; None takes the shares of the weight.

    counts : array of shape (n_classes,)
        Weight of each class.
    """
    seen = counts > 0
    if priors is None:
        return counts / counts.sum()
    if isinstance(priors, str):
        return seen / seen.sum()
    priors = np.asarray(priors, dtype=np.float64)
    if priors.shape != counts.shape:
        raise ValueError(
            f"priors must have one number for each of the {len(counts)} classes, got "
            f"shape {priors.shape}."
        )
    if not (priors >= 0).all():
        raise ValueError(f"priors must not be negative, got {priors.min():g}.")
    if abs(priors.sum() - 1) > 1e-8:
        raise ValueError(f"priors must sum to 1, got {priors.sum():.10g}.")
    kept = priors * seen
    if kept.sum() == 0:
        raise ValueError("priors are 0 for every class that has samples.")
    return kept / kept.sum()
