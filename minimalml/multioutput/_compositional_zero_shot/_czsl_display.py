"""The seen-unseen curve as a picture."""

from minimalml._core.arrays import to_numpy
from minimalml._core.optional import import_pyplot


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
            Passed to `plot`.

        Returns
        -------
        CZSLCurveDisplay
            The display.
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
