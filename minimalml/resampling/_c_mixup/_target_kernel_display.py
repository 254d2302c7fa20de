"""A picture of who is mixed with whom."""

import numpy as np
from scipy.stats import entropy

from minimalml._core.optional import import_pyplot
from minimalml.resampling._c_mixup._target_kernel import (
    TargetKernelSampler,
    kernel_parameters,
)


class TargetKernelDisplay:
    """Show who is mixed with whom: P(partner | row) over the sorted labels.

    Use `from_estimator`. The left picture is a heat map of the probabilities, rows and
    partners both in the order of their labels; the right one the effective number of
    partners of each row, ``exp(entropy)``, against its label: below 5 or so mixing hardly
    adds anything, near n it is plain mixup.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_partners)
        P(partner | row), rows and partners sorted by label.

    labels, effective_partners : ndarrays of shape (n_rows,)
        Sorted labels of the rows, and the effective number of partners of each.

    Attributes
    ----------
    figure_, axes_ : matplotlib Figure, ndarray of two matplotlib Axes

    image_, line_ : matplotlib AxesImage, Line2D
        The heat map, and the effective numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.resampling import TargetKernelDisplay, TargetKernelSampler
    >>> y = np.random.default_rng(0).normal(size=50)
    >>> display = TargetKernelDisplay.from_estimator(TargetKernelSampler(), y=y)
    >>> display.effective_partners.shape
    (50,)
    """

    def __init__(self, probabilities, labels, effective_partners):
        self.probabilities = probabilities
        self.labels = labels
        self.effective_partners = effective_partners

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        y=None,
        *,
        sample_weight=None,
        groups=None,
        max_rows=500,
        axes=None,
        **image_options,
    ):
        """Compute the probabilities of a sampler, resampler or regressor and plot them.

        Parameters
        ----------
        estimator : TargetKernelSampler, CMixup, or a regressor with their parameters
            Its parameters of the kernel are used; it need not be fitted.

        X, y, sample_weight, groups
            As in `TargetKernelSampler.fit`; y has one column.

        max_rows : int, default=500
            Rows of the picture, evenly spaced among the sorted labels; a pixel then
            stands for one row and sums the partners of equal rank.

        axes : sequence of two matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        **image_options : dict
            Passed to ``imshow``.

        Returns
        -------
        TargetKernelDisplay
        """
        if np.shape(y) not in {(np.size(y),), (np.size(y), 1)}:
            raise ValueError(f"y must have one column, got shape {np.shape(y)}.")
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {max_rows}.")
        y = np.asarray(y, dtype=np.float64).ravel()
        sampler = TargetKernelSampler(**kernel_parameters(estimator))
        sampler.fit(y, X=X, sample_weight=sample_weight, groups=groups)
        order = np.argsort(y, kind="stable")
        edges = np.linspace(0, len(y), min(max_rows, len(y)) + 1).astype(int)
        shown = order[edges[:-1]]
        probabilities, effective = [], []
        for row in shown:
            p = sampler.probabilities(int(row))[order]
            effective.append(np.exp(entropy(p)))
            probabilities.append(np.add.reduceat(p, edges[:-1]))
        display = cls(np.array(probabilities), y[shown], np.array(effective))
        return display.plot(axes=axes, **image_options)

    def plot(self, axes=None, **image_options):
        """Draw the two pictures.

        Parameters
        ----------
        axes, **image_options
            As in `from_estimator`.

        Returns
        -------
        TargetKernelDisplay
        """
        pyplot = import_pyplot(type(self).__name__)
        if axes is None:
            _, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        heat, curve = axes
        # labels are no even grid: ticks at ranks carry the labels there
        options = {"origin": "lower", "cmap": "viridis", **image_options}
        self.image_ = heat.imshow(self.probabilities, aspect="equal", **options)
        ticks = np.linspace(0, len(self.labels) - 1, 5).round().astype(int)
        names = [f"{self.labels[t]:.3g}" for t in ticks]
        heat.set_xticks(ticks, names)
        heat.set_yticks(ticks, names)
        heat.set(title="P(partner | row)", xlabel="label of the partner (by rank)")
        heat.set_ylabel("label of the row (by rank)")
        heat.figure.colorbar(self.image_, ax=heat)
        (self.line_,) = curve.plot(self.labels, self.effective_partners, ".-")
        curve.set(xlabel="label of the row", ylabel="effective number of partners")
        curve.set_ylim(bottom=0)
        self.axes_ = np.asarray([heat, curve], dtype=object)
        self.figure_ = heat.figure
        return self
