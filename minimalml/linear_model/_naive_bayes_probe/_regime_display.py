"""Draw the learning curves of two classifiers and where they cross."""

import numpy as np

from minimalml._core.optional import import_pyplot
from minimalml.linear_model._naive_bayes_probe._regime_curve import (
    generative_discriminative_curve,
    standard_error,
)


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
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn on.

    lines_, fill_between_ : lists of two matplotlib artists
        Mean scores, and bands of one standard error.

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
