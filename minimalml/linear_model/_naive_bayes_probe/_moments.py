"""Counts, means and scatter by class: all that Gaussian naive Bayes needs of the data.

They add up over any split of the rows, so one pass, a stream, a cluster and exact
cross-validation are the same sum in different places.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minimalml._core.arrays import is_torch_tensor

OVERFLOW = "X overflows float64 when summed and squared: rescale it."


@dataclass(repr=False, eq=False)
class ClassMoments:
    """Hold weight, mean and scatter by class, and add them up over parts of the data.

    ``a + b`` is what one pass over both parts would have given, to rounding; ``sum``
    works on a list. Class means are kept as offsets from a row of the data, so that
    adding many parts costs no digits where features have a large common offset.

    Parameters
    ----------
    counts : array of shape (n_classes,)
        Sum of the weights of each class.

    offsets : array of shape (n_classes, n_features)
        Class means minus ``origin``; any finite number for a class without rows.

    scatter : array of shape (n_features,) or (n_classes, n_features)
        Weighted sum of squared deviations from the class means, over all classes or
        for each of them.

    classes : array of shape (n_classes,), default=None
        Class labels, sorted; None means 0, 1, 2...

    origin : array of shape (n_features,), default=None
        What the offsets are measured from; None means 0.

    n_samples : int, default=0
        Rows behind these numbers.

    Attributes
    ----------
    means : array of shape (n_classes, n_features)
        Class means; 0 for a class without rows.

    per_class : bool
        Whether each class has a scatter of its own.

    Raises
    ------
    ValueError
        If shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.linear_model import class_moments
    >>> X, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])
    >>> total = class_moments(X[:2], y[:2], 2) + class_moments(X[2:], y[2:], 2)
    >>> total.counts, total.means[0]
    (array([3., 3.]), array([4.66666667, 5.66666667]))
    """

    counts: Any
    offsets: Any
    scatter: Any
    classes: Any = None
    origin: Any = None
    n_samples: int = 0

    def __post_init__(self):
        n_classes, n_features = self.offsets.shape
        self.classes = np.arange(n_classes) if self.classes is None else self.classes
        self.classes = np.asarray(self.classes)
        if self.origin is None:
            self.origin = self.offsets[0] * 0
        shapes = {
            "counts": (n_classes,),
            "classes": (n_classes,),
            "origin": (n_features,),
            "scatter": (n_classes, n_features)[2 - self.scatter.ndim :],
        }
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(
                    f"{name} must have shape {shape} beside offsets of shape "
                    f"{(n_classes, n_features)}, got {tuple(getattr(self, name).shape)}."
                )

    @property
    def means(self):
        """Class means, of shape (n_classes, n_features); 0 for a class without rows."""
        return (self.origin + self.offsets) * (self.counts > 0)[:, None]

    @property
    def per_class(self):
        """Whether each class has a scatter of its own."""
        return self.scatter.ndim == 2

    def __repr__(self):
        return (
            f"ClassMoments(n_classes={len(self.counts)}, "
            f"n_features={len(self.origin)}, per_class={self.per_class}, "
            f"n_samples={self.n_samples})"
        )

    def __add__(self, other):
        if not isinstance(other, ClassMoments):
            return NotImplemented
        one, two = self._aligned_with(other)
        if not one.n_samples:  # the origin of no rows is far from all others
            one, two = two, one
        return one._joined(two, one.counts + two.counts, 1)

    def __radd__(self, other):
        if isinstance(other, int) and other == 0:  # the start of sum()
            return self
        return NotImplemented

    def remove(self, other):
        """Return the moments without a part that was added: ``(a + b).remove(b)`` is a.

        Exact but for rounding, which is relative to the scatter before. A ValueError
        says if ``other`` has more weight in a class.
        """
        one, two = self._aligned_with(other)
        left = one.counts - two.counts
        # what remains of a class that is taken out whole is rounding
        rounding = 1e-12 * one.counts
        if (left < -rounding).any():
            raise ValueError(
                "the part to remove has more weight in a class than the whole."
            )
        left = left * (left > rounding)
        return one._joined(two, left, -1)

    def _joined(self, other, total, sign):
        """Return the sum (sign 1) or difference (-1), of class weights ``total``."""
        remains = (total > 0)[:, None]
        rate = (sign * other.counts / (total + (total == 0)))[:, None] * remains
        difference = other.offsets + (other.origin - self.origin) - self.offsets
        between = difference**2 * (self.counts[:, None] * rate)
        if not self.per_class:
            between = between.sum(0)
        scatter = self.scatter + sign * other.scatter + between
        return replace(
            self,
            counts=total,
            offsets=(self.offsets + difference * rate) * remains,
            scatter=scatter.clip(0) * (remains if self.per_class else 1),
            n_samples=self.n_samples + sign * other.n_samples,
        )

    def total_variance(self):
        """Variance of each feature over all rows, of shape (n_features,)."""
        weight = self.counts / self.counts.sum()
        grand = weight @ self.offsets
        between = weight @ (self.offsets - grand) ** 2
        return self._pooled_scatter() / self.counts.sum() + between

    def to_numpy(self):
        """Return the same moments with float64 arrays on the host."""
        if not is_torch_tensor(self.counts):
            return self
        names = ("counts", "offsets", "scatter", "origin")
        arrays = {n: getattr(self, n).cpu().numpy().astype(float) for n in names}
        return replace(self, **arrays)

    def to_dict(self):
        """Return the constructor's arguments: ``ClassMoments(**a.to_dict())`` is a."""
        return dict(vars(self))

    def with_classes(self, classes):
        """Return the same moments with other labels, sorted, of shape (n_classes,)."""
        return replace(self, classes=classes)

    def pooled(self):
        """Return the same moments with one scatter for all classes."""
        return replace(self, scatter=self._pooled_scatter())

    def _is_finite(self):
        return bool(np.isfinite(self.offsets).all() and np.isfinite(self.scatter).all())

    def _pooled_scatter(self):
        return self.scatter.sum(0) if self.per_class else self.scatter

    def _aligned_with(self, other):
        """Return both over the union of their classes."""
        if len(self.origin) != len(other.origin) or self.per_class != other.per_class:
            raise ValueError(f"{self!r} and {other!r} don't measure the same features.")
        if np.array_equal(self.classes, other.classes):
            return self, other
        union = np.union1d(self.classes, other.classes)
        return self._spread_over(union), other._spread_over(union)

    def _spread_over(self, classes):
        absent = ~np.isin(classes, self.classes)
        places = np.searchsorted(self.classes, classes).clip(max=len(self.classes) - 1)

        def spread(array):
            wide = array[places]
            wide[absent] = 0
            return wide

        return replace(
            self,
            counts=spread(self.counts),
            offsets=spread(self.offsets),
            scatter=spread(self.scatter) if self.per_class else self.scatter,
            classes=classes,
        )
