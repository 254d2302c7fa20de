"""The curve of score over sparsity."""

import numpy as np
from sklearn.model_selection import validation_curve

from minimalml._core.optional import import_pyplot
from minimalml._core.validation import check_is_fitted

DEFAULT_SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)


class SparsityCurveDisplay:
    """Score of a pruned model over its sparsity.

    The axis shows the share of weights kept, on a logarithmic scale: the interesting
    part lies between 90 and 99 %. Make one by `from_search` or `from_estimator`.

    Parameters
    ----------
    sparsities : array-like of shape (n_sparsities,)
        Increasing.

    mean_scores : array-like of shape (n_sparsities,)
        Mean score over the folds.

    std_scores : array-like of shape (n_sparsities,)
        Standard deviation over the folds.

    score_name : str, default="Score"
        Label of the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
    band_ : matplotlib PolyCollection
        One standard deviation to either side.

    Examples
    --------
    >>> from minimalml.compression import SparsityCurveDisplay
    >>> display = SparsityCurveDisplay([0.5, 0.9], [0.97, 0.95], [0.01, 0.02])
    >>> display.plot().ax_.get_ylabel()
    'Score'
    """

    def __init__(self, sparsities, mean_scores, std_scores, *, score_name="Score"):
        self.sparsities = np.asarray(sparsities)
        self.mean_scores = np.asarray(mean_scores)
        self.std_scores = np.asarray(std_scores)
        self.score_name = score_name

    @classmethod
    def from_search(cls, search, *, metric="score", ax=None, **kwargs):
        """Draw the curve from a fitted search over ``sparsity``.

        Parameters
        ----------
        search : GridSearchCV or RandomizedSearchCV
            Fitted; exactly one of its parameters must be ``sparsity`` or end in
            ``__sparsity``. Of the other parameters the best setting counts at each
            sparsity.

        metric : str, default="score"
            Name of the metric, where the search has several.

        ax : matplotlib Axes, default=None
            None makes a new figure.

        **kwargs : dict
            Passed to ``plot``.

        Returns
        -------
        SparsityCurveDisplay

        Raises
        ------
        ValueError
            If the search was not over one sparsity.
        """
        check_is_fitted(search)
        results = search.cv_results_
        names = [
            name
            for name in results
            if name == "param_sparsity" or name.endswith("__sparsity")
        ]
        if len(names) != 1:
            raise ValueError(
                "the search must be over one parameter named sparsity, got "
                f"{[n for n in results if n.startswith('param_')]}."
            )
        tried = np.asarray(results[names[0]], dtype=float)
        sparsities = np.unique(tried)
        mean, std = results[f"mean_test_{metric}"], results[f"std_test_{metric}"]
        best = [
            max(np.flatnonzero(tried == sparsity), key=lambda i: mean[i])
            for sparsity in sparsities
        ]
        name = "Score" if metric == "score" else metric
        display = cls(sparsities, mean[best], std[best], score_name=name)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        sparsities=DEFAULT_SPARSITIES,
        param_name="sparsity",
        cv=None,
        scoring=None,
        n_jobs=None,
        ax=None,
        **kwargs,
    ):
        """Draw the curve by cross-validation at several sparsities.

        Parameters
        ----------
        estimator : GlobalMagnitudePruner, or an estimator that holds one
            Cloned and fitted for each sparsity and fold.

        X : array-like of shape (n_samples, n_features)
            Rows, split into folds.

        y : array-like of shape (n_samples,)
            Targets.

        sparsities : sequence of float, default=(0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
            Increasing.

        param_name : str, default="sparsity"
            Name of the parameter, such as "globalmagnitudepruner__sparsity" in a
            pipeline.

        cv, scoring, n_jobs
            As in ``sklearn.model_selection.validation_curve``.

        ax : matplotlib Axes, default=None
            None makes a new figure.

        **kwargs : dict
            Passed to ``plot``.

        Returns
        -------
        SparsityCurveDisplay
        """
        _, scores = validation_curve(
            estimator,
            X,
            y,
            param_name=param_name,
            param_range=list(sparsities),
            cv=cv,
            scoring=scoring,
            n_jobs=n_jobs,
        )
        display = cls(sparsities, scores.mean(axis=1), scores.std(axis=1))
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        SparsityCurveDisplay
        """
        pyplot = import_pyplot(type(self).__name__)
        if ax is None:
            _, ax = pyplot.subplots()
        kept = 1 - self.sparsities
        (self.line_,) = ax.plot(kept, self.mean_scores, **{"marker": "o", **kwargs})
        self.band_ = ax.fill_between(
            kept,
            self.mean_scores - self.std_scores,
            self.mean_scores + self.std_scores,
            color=self.line_.get_color(),
            alpha=0.2,
            linewidth=0,
        )
        ax.set_xscale("log")
        ax.set_xticks(kept, [f"{s:.4g}" for s in 100 * self.sparsities])
        ax.minorticks_off()
        ax.set_xlim(1.1 * kept.max(), kept.min() / 1.1)
        ax.set(xlabel="Weights pruned (%)", ylabel=self.score_name)
        self.ax_, self.figure_ = ax, ax.figure
        return self
