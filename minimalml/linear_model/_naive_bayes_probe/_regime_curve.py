"""Two regimes: with few labels one classifier is better, with many the other.

Zheng et al. (ICML 2023) show it for naive Bayes and logistic regression; any pair of
classifiers can be compared.
"""

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import (
    Bunch,
    _safe_indexing,
    check_random_state,
    column_or_1d,
    indexable,
)
from sklearn.utils.parallel import Parallel, delayed

from minimalml._core.optional import import_pyplot
from minimalml._core.validation import Integral, Interval, Real, validate_params

MAX_DRAWS = 100
N_BOOTSTRAPS = 200


@validate_params(
    {
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "epsilon0": [Interval(Real, 0, None, closed="left")],
        **{name: ["boolean"] for name in ("require_all_classes", "stratify", "nested")},
    },
    prefer_skip_nested_validation=False,
)
def generative_discriminative_curve(
    generative,
    discriminative,
    X,
    y,
    *,
    train_sizes=None,
    n_repeats=5,
    test_size=None,
    X_test=None,
    y_test=None,
    require_all_classes=True,
    stratify=False,
    nested=False,
    scoring="accuracy",
    epsilon0=0.01,
    random_state=None,
    n_jobs=None,
):
    """Find the number of labels from which one classifier overtakes the other.

    Both are fitted to the same subsets of growing size and scored on the same rows:
    ``len(train_sizes) * n_repeats`` fits of each.

    Parameters
    ----------
    generative, discriminative : classifier
        The one that should win with few labels, such as `NaiveBayesProbe`, and the
        one with many, such as logistic regression behind a scaler. Clones are fitted.

    X, y : array-likes of shape (n_samples, n_features) and (n_samples,)
        Features, dense or sparse, and class labels.

    train_sizes : array-like of int, default=None
        Numbers of labels; None means 2, 3, 5, 10, 20, 50... for each class, up to all.

    n_repeats : int, default=5
        Subsets drawn for each size.

    test_size, X_test, y_test : float or int, and array-likes, default=None
        Share or number of rows held out, stratified, None for a quarter; or rows to
        score on, where ``X`` is for training only.

    require_all_classes : bool, default=True
        Draw a subset again, 100 times at most, until it has every class; False is
        content with two classes.

    stratify : bool, default=False
        Draw subsets with the shares of the classes, each class at least once.

    nested : bool, default=False
        Let each repeat's subsets contain one another. A generative classifier with
        ``partial_fit`` then reads each row once, and a discriminative one is refitted
        without being cloned, so that its ``warm_start`` works.

    scoring : str or callable, default="accuracy"
        A scorer, greater is better.

    epsilon0 : float, default=0.01
        How close to its last score a classifier must come for ``approach_*``.

    random_state, n_jobs : int, default=None
        Seed of the draws (or a RandomState), and repeats that run at once.

    Returns
    -------
    Bunch
        ``train_sizes`` (S,), ``generative_scores`` and ``discriminative_scores``
        (S, n_repeats), their paired ``difference_mean`` and standard error
        ``difference_se`` (S,), ``regime``: "crossover", or which one leads at the
        largest size if that doesn't change for good; ``crossover``: number of labels
        from which the discriminative one is better for good, between sizes on a log
        scale, or nan; ``crossover_interval``: its 2.5 and 97.5 percentiles over 200
        bootstraps of the repeats, 0 and inf for below and above all sizes;
        ``approach_generative`` and ``approach_discriminative``: smallest size whose
        mean score is within ``epsilon0`` of that at the largest size.

    Raises
    ------
    ValueError
        If a size is out of range, or 100 draws of it lack a class.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from minimalml.linear_model import (
    ...     NaiveBayesProbe, generative_discriminative_curve)
    >>> curve = generative_discriminative_curve(
    ...     NaiveBayesProbe(), GaussianNB(), *load_digits(return_X_y=True),
    ...     train_sizes=[20, 100], stratify=True, random_state=0)
    >>> curve.regime
    'generative'
    """
    X, y = indexable(X, column_or_1d(y, warn=True))
    rng = check_random_state(random_state)
    if X_test is None and y_test is None:
        X, X_test, y, y_test = train_test_split(
            X, y, test_size=test_size, stratify=y, random_state=rng
        )
    elif X_test is None or y_test is None or test_size is not None:
        raise ValueError(
            "rows to score on are X_test and y_test together, or a test_size of X."
        )
    sizes = checked_sizes(train_sizes, y)
    n_required = len(np.unique(y)) if require_all_classes else 2
    seeds = rng.randint(np.iinfo(np.int32).max, size=n_repeats)
    draws = [draw_subsets(y, sizes, n_required, stratify, nested, s) for s in seeds]
    models, test = (generative, discriminative), (X_test, column_or_1d(y_test))
    scores = Parallel(n_jobs=n_jobs)(
        delayed(score_repeat)(
            models, X, y, test, subsets=subsets, nested=nested, scoring=scoring
        )
        for subsets in draws
    )
    both = np.array(scores).T  # (2, S, n_repeats)
    return summarise(sizes, *both, epsilon0, rng)


def checked_sizes(train_sizes, y):
    """Return increasing numbers of rows, all possible with the labels ``y``."""
    n_samples, n_classes = len(y), len(np.unique(y))
    if train_sizes is None:
        steps = [m * 10**power for power in range(12) for m in (1, 2, 5)]
        sizes = n_classes * np.array([2, 3, *steps[2:]])
        return np.unique(np.minimum(sizes, n_samples))
    sizes = np.unique(np.asarray(train_sizes))
    in_range = len(sizes) and n_classes <= sizes[0] and sizes[-1] <= n_samples
    if sizes.dtype.kind not in "iu" or not in_range:
        raise ValueError(
            f"train_sizes must be integers from the number of classes, {n_classes}, "
            f"to the number of training rows, {n_samples}, got {train_sizes}."
        )
    return sizes


def draw_subsets(y, sizes, n_required, stratify, nested, seed):
    """Return row indices, one array for each size."""
    rng = np.random.RandomState(seed)
    if nested:
        order = draw_order(y, sizes[0], n_required, stratify, rng)
        return [order[:size] for size in sizes]
    return [draw_order(y, m, n_required, stratify, rng)[:m] for m in sizes]


def draw_order(y, size, n_required, stratify, rng):
    """Return a random order of the rows whose first ``size`` have enough classes."""
    if stratify:
        return stratified_order(y, rng)
    for _ in range(MAX_DRAWS):
        order = rng.permutation(len(y))
        if len(np.unique(y[order[:size]])) >= n_required:
            return order
    raise ValueError(
        f"{MAX_DRAWS} draws of train_size={size} rows lacked some of the "
        f"{n_required} classes: raise the size or use stratify=True."
    )


def stratified_order(y, rng):
    """Return a random order of the rows whose every start has the classes' shares."""
    # The r-th row of a class of c rows takes the place (r + random) / c; the first row
    # of each class goes before all others.
    order = rng.permutation(len(y))
    places = np.empty(len(y))
    for label in np.unique(y):
        rows = order[y[order] == label]
        places[rows] = (np.arange(len(rows)) + rng.uniform(size=len(rows))) / len(rows)
        places[rows[0]] -= 1
    return np.argsort(places, kind="stable")


def score_repeat(templates, X, y, test, *, subsets, nested, scoring):
    """Return the scores of both classifiers on each subset, of shape (S, 2)."""
    grows = nested and hasattr(templates[0], "partial_fit")
    models, scores, n_seen = None, [], 0
    for rows in subsets:
        if models is None or not nested:
            models = [clone(template) for template in templates]
        for model in models[grows:]:
            model.fit(_safe_indexing(X, rows), y[rows])
        if grows:
            new = rows[n_seen:]
            models[0].partial_fit(_safe_indexing(X, new), y[new], classes=np.unique(y))
            n_seen = len(rows)
        scores.append([check_scoring(m, scoring=scoring)(m, *test) for m in models])
    return scores


def summarise(sizes, generative_scores, discriminative_scores, epsilon0, rng):
    """Return the curve with its crossover, from scores of shape (S, n_repeats)."""
    difference = generative_scores - discriminative_scores
    n_repeats = difference.shape[1]
    regime, crossover = find_crossover(sizes, difference.mean(axis=1))
    draws = rng.randint(n_repeats, size=(N_BOOTSTRAPS, n_repeats))
    ends = {"discriminative": 0.0, "generative": np.inf}
    resampled = [
        ends.get(*find_crossover(sizes, difference[:, draw].mean(axis=1)))
        for draw in draws
    ]
    # no interpolation between a size and infinity
    interval = np.percentile(resampled, [2.5, 97.5], method="inverted_cdf")
    return Bunch(
        train_sizes=sizes,
        generative_scores=generative_scores,
        discriminative_scores=discriminative_scores,
        difference_mean=difference.mean(axis=1),
        difference_se=standard_error(difference),
        regime=regime,
        crossover=crossover,
        crossover_interval=tuple(interval),
        approach_generative=approach(sizes, generative_scores, epsilon0),
        approach_discriminative=approach(sizes, discriminative_scores, epsilon0),
    )


def standard_error(scores):
    """Return the standard error over the repeats; 0 if there is only one."""
    n_repeats = scores.shape[1]
    if n_repeats == 1:
        return np.zeros(len(scores))
    return scores.std(axis=1, ddof=1) / np.sqrt(n_repeats)


def find_crossover(sizes, difference):
    """Return the regime and the size from which ``difference`` is negative for good."""
    not_worse = np.flatnonzero(difference >= 0)
    if not len(not_worse):
        return "discriminative", np.nan
    last = not_worse[-1]
    if last == len(sizes) - 1:
        return "generative", np.nan
    share = difference[last] / (difference[last] - difference[last + 1])
    log_size = (1 - share) * np.log(sizes[last]) + share * np.log(sizes[last + 1])
    return "crossover", float(np.exp(log_size))


def approach(sizes, scores, epsilon0):
    """Return the smallest size whose mean score is near that of the largest."""
    means = scores.mean(axis=1)
    return int(sizes[np.flatnonzero(means >= means[-1] - epsilon0)[0]])


class RegimeCurveDisplay:
    """Draw two learning curves with their standard errors and their crossover.

    Use `from_estimators` to compute and draw, or `from_curve` for what
    `generative_discriminative_curve` returned.

    Parameters
    ----------
    train_sizes : ndarray of shape (n_sizes,)
        Numbers of labels.

    generative_scores, discriminative_scores : ndarray of shape (n_sizes, n_repeats)
        Scores of the two classifiers.

    crossover : float, default=nan
        Number of labels at which they cross; nan draws no line.

    score_name, names : str and tuple of two str
        Label of the vertical axis, and names in the legend.

    Attributes
    ----------
    ax_, figure_, lines_, fill_between_, crossover_line_ : matplotlib objects
        What was drawn on; lists of two lines of mean scores and two bands of one
        standard error; the vertical line at the crossover, or None.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from minimalml.linear_model import NaiveBayesProbe, RegimeCurveDisplay
    >>> display = RegimeCurveDisplay.from_estimators(
    ...     NaiveBayesProbe(), LogisticRegression(), *load_iris(return_X_y=True),
    ...     train_sizes=[6, 10], random_state=0)
    >>> display.ax_.get_xscale()
    'log'
    """

    def __init__(
        self,
        *,
        train_sizes,
        generative_scores,
        discriminative_scores,
        crossover=np.nan,
        score_name="Accuracy",
        names=("generative", "discriminative"),
    ):
        self.train_sizes = train_sizes
        self.generative_scores = generative_scores
        self.discriminative_scores = discriminative_scores
        self.crossover = crossover
        self.score_name = score_name
        self.names = names

    @classmethod
    def from_estimators(
        cls, generative, discriminative, X, y, *, names=None, ax=None, **curve_options
    ):
        """Compare two classifiers and draw the result.

        Parameters
        ----------
        generative, discriminative, X, y, **curve_options
            Arguments of `generative_discriminative_curve`.

        names, ax : tuple of two str and matplotlib Axes, default=None
            Names in the legend, None for those of the classes; where to draw, None for
            a new figure.
        """
        curve = generative_discriminative_curve(
            generative, discriminative, X, y, **curve_options
        )
        if names is None:
            names = (short_name(generative), short_name(discriminative))
        scoring = curve_options.get("scoring", "accuracy")
        score_name = scoring if isinstance(scoring, str) else "score"
        score_name = score_name.replace("_", " ").capitalize()
        return cls.from_curve(curve, names=names, score_name=score_name).plot(ax)

    @classmethod
    def from_curve(cls, curve, **options):
        """Make a display, not drawn yet, of `generative_discriminative_curve`'s result.

        ``options`` are ``score_name`` and ``names``.
        """
        measured = ("train_sizes", "generative_scores", "discriminative_scores")
        options = {name: curve[name] for name in (*measured, "crossover")} | options
        return cls(**options)

    def plot(self, ax=None):
        """Draw the curves on ``ax``, or a new figure, and return the display."""
        pyplot = import_pyplot("RegimeCurveDisplay")
        if ax is None:
            _, ax = pyplot.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.fill_between_ = [], []
        scores_of_both = (self.generative_scores, self.discriminative_scores)
        for name, scores in zip(self.names, scores_of_both, strict=True):
            mean, error = scores.mean(axis=1), standard_error(scores)
            (line,) = ax.plot(self.train_sizes, mean, marker="o", ms=4, label=name)
            style = {"color": line.get_color(), "alpha": 0.25, "linewidth": 0}
            band = ax.fill_between(
                self.train_sizes, mean - error, mean + error, **style
            )
            self.lines_.append(line)
            self.fill_between_.append(band)
        self.crossover_line_ = None
        if np.isfinite(self.crossover):
            label = f"crossover at {self.crossover:.0f} labels"
            self.crossover_line_ = ax.axvline(
                self.crossover, color="0.4", linestyle="--", label=label
            )
        ax.set(xscale="log", xlabel="Number of labels", ylabel=self.score_name)
        ax.legend()
        return self


def short_name(estimator):
    """Return the class name; of a pipeline, that of its last step."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return type(last).__name__
