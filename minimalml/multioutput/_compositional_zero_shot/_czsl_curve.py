"""The seen-unseen trade-off of a compositional classifier, exactly.

Unseen pairs score lower than seen ones, for no better reason than that training never
named them. The field's protocol adds a bias to the scores of unseen pairs and sweeps it
from minus to plus infinity. Sorting the biases at which a row's answer changes gives the
whole curve.
"""

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch

from minimalml._core.arrays import array_namespace, is_torch_tensor, to_numpy
from minimalml._core.optional import import_pyplot
from minimalml.multioutput._compositional_zero_shot._czsl_gaps import czsl_gaps

# The approximation of published code: its last bias, and its step below each gap.
OFFICIAL_END_BIAS = 1e3
OFFICIAL_STEP_BACK = 1e-4


def curve_from_gaps(gaps, n_biases=None):
    """Turn the gaps of blocks of rows into the curve and its summary figures.

    Parameters
    ----------
    gaps : list
        What `czsl_gaps` returned for each block.

    n_biases : int, default=None
        As `czsl_curve` takes it.

    Returns
    -------
    Bunch
        As described in `czsl_curve`.
    """
    xp = array_namespace(gaps[0].gap)
    gap, is_seen = (xp.concatenate(parts) for parts in zip(*gaps, strict=True))
    is_hit = ~xp.isnan(gap)
    is_seen_hit, is_unseen_hit = is_hit & is_seen, is_hit & ~is_seen
    if n_biases is None:
        biases = _exact_biases(gap)
    else:
        biases = _official_biases(gap[is_unseen_hit], n_biases)
    seen = _share(gap, is_seen_hit, is_seen, biases, above=True)
    unseen = _share(gap, is_unseen_hit, ~is_seen, biases, above=False)
    if is_seen.all() or not is_seen.any():
        missing = "unseen" if is_seen.all() else "seen"
        warnings.warn(
            f"no row has {'an' if missing == 'unseen' else 'a'} {missing} pair: auc and "
            "harmonic mean are undefined and set to nan.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    total = seen + unseen
    harmonic_mean = 2 * seen * unseen / xp.where(total == 0, 1.0, total)
    best = xp.nan_to_num(harmonic_mean).argmax()  # the first where undefined
    figures = {
        "auc": xp.trapezoid(seen, unseen),
        "best_seen": seen.max(),
        "best_unseen": unseen.max(),
        "best_harmonic_mean": harmonic_mean[best],
        "bias_at_best": biases[best],
    }
    if not is_torch_tensor(gap):
        figures = {name: float(value) for name, value in figures.items()}
    return Bunch(seen_accuracy=seen, unseen_accuracy=unseen, biases=biases, **figures)


def czsl_curve(
    scores,
    pair_index,
    seen_mask,
    *,
    pair_mask=None,
    n_biases=None,
    top_k=1,
    n_threads=None,
):
    """Trade seen against unseen accuracy over all biases of the unseen pairs.

    Exact: every distinct point of the curve, in O(nP + n log n) time and O(n) memory
    beside the scores.

    Parameters
    ----------
    scores : array-like or torch.Tensor of shape (n, P), floats
        Score of each candidate pair. Tensors stay on their device.

    pair_index : array-like of int of shape (n,)
        Column of each row's true pair; -1 where it is no candidate, which makes the
        row an unseen one that is never right.

    seen_mask : array-like of bool of shape (P,)
        Which pairs occurred in training.

    pair_mask : array-like of bool of shape (P,), default=None
        Which pairs are candidates; None means all.

    n_biases : int, default=None
        None gives the exact curve. A number (20 in most published code) takes about
        so many biases from the gaps of the unseen rows, and leaves out the part of
        the area that lies left of the first.

    top_k : int, default=1
        A row is right if its true pair is among the ``top_k`` best.

    n_threads : int, default=None
        Threads; None lets the library decide. Tensors follow torch's setting.

    Returns
    -------
    Bunch
        Of ndarrays and floats, or all tensors for tensors:

        - ``seen_accuracy``, ``unseen_accuracy``, ``biases``: of shape (m,),
          the curve in order of rising bias; adding ``biases[i]`` to the scores of
          unseen pairs gives point i.
        - ``auc``: area under seen accuracy over unseen accuracy.
        - ``best_seen``, ``best_unseen``: the ends of the curve.
        - ``best_harmonic_mean`` and ``bias_at_best``, where it is reached.

    Raises
    ------
    ValueError
        If shapes disagree, scores are NaN, an index is out of range, or ``top_k``
        is not in 1..P.

    Warns
    -----
    UndefinedMetricWarning
        If there are only seen or only unseen rows; ``auc`` is nan then.

    References
    ----------
    .. [1] Purushwalkam, Nickel, Gupta, Ranzato, "Task-Driven Modular Networks for
       Zero-Shot Compositional Learning", ICCV 2019: the protocol.

    Examples
    --------
    >>> from minimalml.multioutput import czsl_curve
    >>> scores = [[0.9, 0.1, 0.2], [0.3, 0.2, 0.1], [0.6, 0.2, 0.5]]
    >>> curve = czsl_curve(scores, [0, 1, 2], seen_mask=[True, True, False])
    >>> print(curve.seen_accuracy, curve.unseen_accuracy)
    [0.5 0.5 0. ] [0. 1. 1.]
    >>> print(curve.auc)
    0.5
    """
    options = {"pair_mask": pair_mask, "top_k": top_k, "n_threads": n_threads}
    gaps = czsl_gaps(scores, pair_index, seen_mask, **options)
    return curve_from_gaps([gaps], n_biases)


def czsl_auc_score(
    scores, pair_index, seen_mask, *, pair_mask=None, n_biases=None, top_k=1
):
    """Compute the area under the seen-unseen curve, see `czsl_curve`.

    Parameters
    ----------
    scores, pair_index, seen_mask, pair_mask, n_biases, top_k : object
        As `czsl_curve` takes them.

    Returns
    -------
    float
        In [0, best_seen * best_unseen], nan where it is undefined; a tensor for
        tensors.

    Examples
    --------
    >>> from minimalml.multioutput import czsl_auc_score
    >>> scores = [[0.9, 0.1, 0.2], [0.3, 0.2, 0.1], [0.6, 0.2, 0.5]]
    >>> czsl_auc_score(scores, [0, 1, 2], seen_mask=[True, True, False])
    0.5
    """
    options = {"pair_mask": pair_mask, "n_biases": n_biases, "top_k": top_k}
    return czsl_curve(scores, pair_index, seen_mask, **options).auc


def _exact_biases(gap):
    """One bias inside each interval on which no row changes its answer."""
    xp = array_namespace(gap)
    steps = xp.unique(gap[xp.isfinite(gap)])
    if not len(steps):
        return xp.zeros_like(gap[:1])
    middles = steps[:-1] + xp.diff(steps) / 2
    # an interval is open below: between neighbouring floats only its end is inside
    middles = xp.where(middles > steps[:-1], middles, steps[1:])
    # 1 beyond the ends, or the next float where numbers are too large for that
    first, last, infinity = steps[:1], steps[-1:], xp.full_like(steps[:1], xp.inf)
    below = xp.minimum(first - 1, xp.nextafter(first, -infinity))
    above = xp.maximum(last + 1, xp.nextafter(last, infinity))
    return xp.concatenate([below, middles, above])


def _official_biases(unseen_hit_gaps, n_biases):
    if n_biases < 1:
        raise ValueError(f"n_biases must be None or at least 1, got {n_biases}.")
    xp = array_namespace(unseen_hit_gaps)
    right = _sorted(unseen_hit_gaps[unseen_hit_gaps < OFFICIAL_END_BIAS])
    stride = max(len(right) // n_biases, 1)
    end = xp.asarray([OFFICIAL_END_BIAS], dtype=right.dtype, device=right.device)
    return xp.concatenate([right[::stride] - OFFICIAL_STEP_BACK, end])


def _share(gap, is_hit, is_of_kind, biases, above):
    """Share of the rows of a kind that are right at each bias; nan if there are none."""
    xp = array_namespace(gap)
    gap = _sorted(xp.where(is_hit, gap, xp.inf))
    n_below = xp.searchsorted(gap, biases, side="left")
    n_right = is_hit.sum() - n_below if above else n_below
    n_rows = xp.zeros_like(biases) + is_of_kind.sum()
    return xp.where(n_rows > 0, n_right / xp.where(n_rows > 0, n_rows, 1.0), xp.nan)


def _sorted(values):
    return values.sort().values if is_torch_tensor(values) else np.sort(values)


FIGURES = ("auc", "best_seen", "best_unseen", "attribute_accuracy", "object_accuracy")
SCORED_FIGURES = {**{f: f for f in FIGURES}, "harmonic_mean": "best_harmonic_mean"}


def make_czsl_scorer(metric="auc"):
    """Make a scorer of the seen-unseen trade-off, for searches over pair classifiers.

    Use it with `PairHoldoutSplit`, which puts unseen pairs into the test part. It also
    takes pipelines and searches that end in a pair classifier.

    Parameters
    ----------
    metric : {"auc", "harmonic_mean", "best_seen", "best_unseen", \
            "attribute_accuracy", "object_accuracy"}, default="auc"
        Which figure of the estimator's ``czsl_curve`` to return.

    Returns
    -------
    callable
        ``scorer(estimator, X, y) -> float``, greater is better.

    Raises
    ------
    ValueError
        If ``metric`` is none of these.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from minimalml.multioutput import (
    ...     IndependentPrimitives, PairHoldoutSplit, make_czsl_scorer)
    >>> from minimalml.datasets import make_compositions
    >>> data = make_compositions(4, 5, n_features=8, random_state=0)
    >>> scores = cross_val_score(
    ...     IndependentPrimitives(), data.X_train, data.y_train,
    ...     scoring=make_czsl_scorer("auc"),
    ...     cv=PairHoldoutSplit(2, random_state=0))
    >>> scores.shape
    (2,)
    """
    if metric not in SCORED_FIGURES:
        raise ValueError(
            f"metric must be one of {sorted(SCORED_FIGURES)}, got {metric!r}."
        )
    return partial(_score_pairs, figure=SCORED_FIGURES[metric])


def _score_pairs(estimator, X, y, *, figure):
    estimator = getattr(estimator, "best_estimator_", estimator)
    if hasattr(estimator, "steps"):
        X, estimator = estimator[:-1].transform(X), estimator[-1]
    return estimator.czsl_curve(X, y)[figure]


class CZSLCurveDisplay:
    """Draw the trade-off between seen and unseen accuracy.

    `from_estimator` evaluates a classifier and draws; `plot` draws a curve at hand.

    Parameters
    ----------
    curve : Bunch
        What `czsl_curve` returned, for arrays or tensors.

    name : str, default=None
        Label of the curve.

    Attributes
    ----------
    line_, point_ : matplotlib Artist
        The curve, and where the harmonic mean is best.

    ax_, figure_ : matplotlib Axes and Figure
        Where they were drawn.

    Examples
    --------
    >>> from minimalml.multioutput import CZSLCurveDisplay, czsl_curve
    >>> scores = [[0.9, 0.1, 0.2], [0.3, 0.2, 0.1], [0.6, 0.2, 0.5]]
    >>> curve = czsl_curve(scores, [0, 1, 2], seen_mask=[True, True, False])
    >>> display = CZSLCurveDisplay(curve, name="by hand").plot()
    >>> display.line_.get_label()
    'by hand (AUC 0.50)'
    """

    def __init__(self, curve, *, name=None):
        self.curve = curve
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, name=None, ax=None, **line_kwargs):
        """Evaluate a fitted pair classifier and draw its curve.

        Parameters
        ----------
        estimator : pair classifier
            Fitted, with ``czsl_curve``.

        X, y : array-like of shape (n, d), (n, 2)
            Features and pairs of test rows, of seen and of unseen pairs.

        name : str, default=None
            Label of the curve; None takes the class name.

        ax, **line_kwargs
            Passed to `plot`, whose result is returned.
        """
        name = type(estimator).__name__ if name is None else name
        curve = estimator.czsl_curve(X, y)
        return cls(curve, name=name).plot(ax=ax, **line_kwargs)

    def plot(self, ax=None, **line_kwargs):
        """Draw the curve and its best harmonic mean.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **line_kwargs
            Passed to matplotlib's ``plot``.

        Returns
        -------
        CZSLCurveDisplay
            The display itself.
        """
        pyplot = import_pyplot("CZSLCurveDisplay")
        if ax is None:
            _, ax = pyplot.subplots()
        curve = {name: to_numpy(value) for name, value in self.curve.items()}
        seen, unseen = curve["seen_accuracy"], curve["unseen_accuracy"]
        area = f"AUC {curve['auc']:.2f}"
        label = area if self.name is None else f"{self.name} ({area})"
        (self.line_,) = ax.plot(unseen, seen, **{"label": label, **line_kwargs})
        best = (curve["biases"] == curve["bias_at_best"]).argmax()
        (self.point_,) = ax.plot(
            unseen[best],
            seen[best],
            marker="o",
            linestyle="none",
            color=self.line_.get_color(),
        )
        ax.set(xlabel="accuracy on unseen pairs", ylabel="accuracy on seen pairs")
        ax.set_xlim(left=0, auto=True)  # auto: a further curve may be longer
        ax.set_ylim(bottom=0, auto=True)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
