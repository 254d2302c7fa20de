"""Draw the learning curves of two classifiers and where they cross."""

import numpy as np

from minimalml._core.optional import import_pyplot
from minimalml.linear_model._naive_bayes_probe._regime_curve import (
    generative_discriminative_curve,
)


class RegimeCurveDisplay:
    """Draw two learning curves with their standard errors and their crossover.

    Use `from_estimators` to compute and draw, or pass on what
    `generative_discriminative_curve` returned.

    Parameters
    ----------
    train_sizes : ndarray of shape (n_sizes,)
        Numbers of labels.

    generative_scores : ndarray of shape (n_sizes, n_repeats)
        Scores of the one classifier.

    discriminative_scores : ndarray of shape (n_sizes, n_repeats)
        Scores of the other.

    crossover : float, default=nan
        Number of labels at which they cross; nan draws no line.

    score_name : str, default="Accuracy"
        Label of the vertical axis.

    names : tuple of two str, default=("generative", "discriminative")
        Names in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that were drawn on.

    figure_ : matplotlib Figure
        Their figure.

    lines_ : list of two matplotlib Line2D
        Mean scores.

    fill_between_ : list of two matplotlib collections
        Bands of one standard error.

    crossover_line_ : matplotlib Line2D or None
        Vertical line at the crossover.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import RegimeCurveDisplay
    >>> display = RegimeCurveDisplay(
    ...     train_sizes=np.array([10, 100]),
    ...     generative_scores=np.array([[0.8, 0.7], [0.8, 0.8]]),
    ...     discriminative_scores=np.array([[0.6, 0.6], [0.9, 0.9]]),
    ...     crossover=40.0,
    ... )
    >>> display.plot().ax_.get_xscale()
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
        generative, discriminative : classifier
            What to compare.

        X : array-like of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,)
            Class labels.

        names : tuple of two str, default=None
            Names in the legend; None takes those of the classes.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        **curve_options
            Further arguments of `generative_discriminative_curve`.

        Returns
        -------
        RegimeCurveDisplay
            The drawn display.
        """
        curve = generative_discriminative_curve(
            generative, discriminative, X, y, **curve_options
        )
        if names is None:
            names = tuple(short_name(m) for m in (generative, discriminative))
        scoring = curve_options.get("scoring", "accuracy")
        score_name = scoring if isinstance(scoring, str) else "score"
        return cls.from_curve(
            curve, names=names, score_name=score_name.replace("_", " ").capitalize()
        ).plot(ax=ax)

    @classmethod
    def from_curve(cls, curve, **options):
        """Make a display of what `generative_discriminative_curve` returned.

        Parameters
        ----------
        curve : Bunch
            The result.

        **options
            ``score_name`` and ``names`` of the display.

        Returns
        -------
        RegimeCurveDisplay
            Not drawn yet.
        """
        return cls(
            train_sizes=curve.train_sizes,
            generative_scores=curve.generative_scores,
            discriminative_scores=curve.discriminative_scores,
            crossover=curve.crossover,
            **options,
        )

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        RegimeCurveDisplay
            The display itself.
        """
        pyplot = import_pyplot("RegimeCurveDisplay")
        if ax is None:
            _, ax = pyplot.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.fill_between_ = [], []
        scores_of_both = (self.generative_scores, self.discriminative_scores)
        for name, scores in zip(self.names, scores_of_both, strict=True):
            mean, error = scores.mean(axis=1), standard_error(scores)
            (line,) = ax.plot(self.train_sizes, mean, marker="o", ms=4, label=name)
            self.lines_.append(line)
            self.fill_between_.append(
                ax.fill_between(
                    self.train_sizes,
                    mean - error,
                    mean + error,
                    color=line.get_color(),
                    alpha=0.25,
                    linewidth=0,
                )
            )
        self.crossover_line_ = None
        if np.isfinite(self.crossover):
            self.crossover_line_ = ax.axvline(
                self.crossover,
                color="0.4",
                linestyle="--",
                label=f"crossover at {self.crossover:.0f} labels",
            )
        ax.set(xscale="log", xlabel="Number of labels", ylabel=self.score_name)
        ax.legend()
        return self


def standard_error(scores):
    """Return the standard error over the repeats; 0 if there is only one."""
    n_repeats = scores.shape[1]
    if n_repeats == 1:
        return np.zeros(len(scores))
    return scores.std(axis=1, ddof=1) / np.sqrt(n_repeats)


def short_name(estimator):
    """Return the class name; of a pipeline, that of its last step."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return type(last).__name__
