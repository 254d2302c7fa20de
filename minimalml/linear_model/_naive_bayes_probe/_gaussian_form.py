"""From class moments to the parameters of Gaussian naive Bayes and its linear form.

Zheng, Wu, Bao, Cao, Li, Zhu, "Revisiting Discriminative vs. Generative Classifiers",
ICML 2023: with a variance that all classes share, log p(y | x) is linear in x.
"""

import numpy as np

# A variance below it has fewer than three digits.
SMALLEST_VARIANCE = 1e3 * np.finfo(np.float64).smallest_subnormal


class UndeterminedVariance(ValueError):
    """The samples so far don't determine a variance; more may."""


def estimate_variances(moments, *, kind, ddof, shrinkage, var_smoothing, smoothing):
    """Return smoothed variances, and what smoothed them; 1 for a class without weight."""
    scale = checked_scale(moments) if smoothing == "relative" else 1.0
    scatter = np.atleast_2d(moments.scatter)  # (n_classes, n_features), or one row
    counts, n_means = moments.counts, 1
    if not moments.per_class:
        counts, n_means = counts.sum(keepdims=True), np.count_nonzero(counts)
    seen = counts > 0
    freedom = counts - n_means * (ddof == "pooled")
    if freedom[seen].min() <= 0:
        raise UndeterminedVariance(
            "ddof='pooled' divides by the number of samples minus the number of "
            f"classes, which is {freedom[seen].min():g}: give more samples or use "
            "ddof='ml'."
        )
    var = scatter / np.where(seen, freedom, 1)[:, None]
    shrinkage = 1.0 if kind == "spherical" else shrinkage
    rows = zip(var, counts - n_means, strict=True)
    epsilon = float(var_smoothing * scale)
    var = np.stack([shrink(v, shrinkage, f) for v, f in rows]) + epsilon
    var[~seen] = 1.0
    zeros = np.argwhere(var == 0)
    if len(zeros):
        name = kind.replace("_", "-")
        raise UndeterminedVariance(
            f"{name} variance of feature {zeros[0, 1]} is zero; set var_smoothing > 0."
        )
    return var if moments.per_class else var[0], epsilon


def checked_scale(moments):
    """Return the largest total variance, which float64 must be able to hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        scale = moments.total_variance().max()
    rows_differ = np.ptp(moments.offsets[moments.counts > 0], axis=0).any()
    if not np.isfinite(scale) or (rows_differ and scale < SMALLEST_VARIANCE):
        raise ValueError(
            f"the variance of X is out of float64's range (it comes out as {scale:g}): "
            "rescale X, for example by StandardScaler."
        )
    return scale or 1.0  # where nothing varies yet any scale does


def shrink(var, shrinkage, freedom):
    """Move the variances of the features towards their mean."""
    if shrinkage == "auto":
        # Ledoit and Wolf's rule on a diagonal: the noise of the variances, 2 v² / freedom
        # each for Gaussian features, over their spread;
        # in units of the largest, or squares of variances would leave float64's range
        v = var / (var.max() or 1.0)
        spread = ((v - v.mean()) ** 2).sum()
        if freedom <= 0 or spread == 0:
            shrinkage = 1.0
        else:
            shrinkage = min((2 * v**2 / freedom).sum() / spread, 1.0)
    return (1 - shrinkage) * var + shrinkage * var.mean()


def linear_form(moments, var, prior):
    """Return coefficients and intercepts; zeros and -inf for a class without prior."""
    # centred first: the posterior is the same, and a large common offset costs no digits
    seen = prior > 0
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_prior = np.log(prior)
        centre = prior @ moments.offsets
        centred = np.where(seen[:, None], moments.offsets - centre, 0)
        coef = centred / var
        intercept = log_prior - 0.5 * (centred * coef).sum(axis=1)
        intercept -= coef @ (moments.origin + centre)
    if not np.isfinite(intercept[seen]).all():
        raise ValueError(
            "the logits leave float64's range, as the variances within classes are "
            "too small beside the means: rescale X or raise var_smoothing."
        )
    return coef, intercept


def effective_priors(priors, counts):
    """Return the prior of each class; a class without weight has none."""
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
