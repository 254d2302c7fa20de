"""Penalties that are the absolute value near zero and flat far from it: SCAD and MCP.

Such a penalty is l1 plus a smooth concave part. The thresholding of l1 makes zeros, and
the concave part takes its bias off large coefficients.

SCAD: Fan and Li, 2001. MCP: Zhang, 2010.
"""

from typing import NamedTuple

import numpy as np

from minimalml.linear_model._proximal import clip

DEFAULT_CONCAVITY = {"scad": 3.7, "mcp": 3.0, "l1": np.inf}  # of Fan, Li; of Breheny
SMALLEST_CONCAVITY = {"scad": 2.0, "mcp": 1.0, "l1": -np.inf}  # all must be larger


class FoldedPenalty(NamedTuple):
    """Sum of penalties whose slope is ``threshold``, then falls linearly to 0.

    All but ``width`` are numbers, or arrays of one for each coefficient, and 0 where it
    is free.
    """

    threshold: np.ndarray | float  # slope at zero
    start: np.ndarray | float  # where the slope begins to fall
    cap: np.ndarray | float  # where it is 0, and the penalty flat
    width: float  # of the fall, for a threshold of 1

    @property
    def curvature(self):
        """Largest curvature of the concave part, in absolute value."""
        return 1.0 / self.width

    def value(self, coef):
        """Return the sum over coefficients."""
        size = np.minimum(np.abs(coef), self.cap)
        fallen = np.maximum(size - self.start, 0.0)
        return float(np.sum(self.threshold * size - 0.5 / self.width * fallen**2))

    def concave_gradient(self, coef):
        """Return the gradient of the sum without its l1 part, which is smooth."""
        return (clip(coef, self.start) - clip(coef, self.cap)) / self.width


def make_penalty(name, alpha, concavity=None):
    """Return "scad", "mcp" or "l1" of the strength ``alpha``, a number or an array."""
    concavity = DEFAULT_CONCAVITY[name] if concavity is None else concavity
    if name == "l1":
        flat_from = np.where(np.asarray(alpha) > 0, np.inf, 0.0)
        return FoldedPenalty(alpha, flat_from, flat_from, np.inf)
    if not concavity > SMALLEST_CONCAVITY[name]:
        raise ValueError(
            f"concavity must be larger than {SMALLEST_CONCAVITY[name]:g} for "
            f"penalty={name!r}, got {concavity}."
        )
    if name == "scad":
        return FoldedPenalty(alpha, alpha, concavity * alpha, concavity - 1.0)
    return FoldedPenalty(alpha, 0.0 * alpha, concavity * alpha, concavity)
