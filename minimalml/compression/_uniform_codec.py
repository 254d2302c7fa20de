"""Weights on a uniform grid a row, with error feedback: GPTQ.

Frantar, Ashkboos, Hoefler, Alistarh, ICLR 2023.
"""

import numpy as np

from minimalml._core.validation import Integral, Interval
from minimalml.compression._error_feedback import feed_back
from minimalml.compression._packing import pack_codes, unpack_codes
from minimalml.compression._weight_codec import (
    EncodedWeight,
    WeightCodec,
    check_weight_and_hessian,
    matrix_scale,
)

# Ranges that are tried, of the range from the least to the largest weight.
SHRINKAGE = np.arange(20, 3, -1) / 20


class UniformCodec(WeightCodec):
    """Round weights to equally spaced levels, and make later ones pay for the errors.

    Without codebooks and with the same speed at any width: the codec to begin with. At 3
    bits and less others keep more. O(m n^2) time for an (m, n) matrix.

    Parameters
    ----------
    n_bits : int, default=4
        Bits of a code, 1 to 8.

    group_size : int, default=None
        Consecutive inputs of a row that share a grid, of 32 bits each; None: the row.

    See Also
    --------
    WeightQuantizer : Encode the layers of a fitted model.

    References
    ----------
    .. [1] E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training
       Quantization for Generative Pre-trained Transformers", ICLR 2023. arXiv:2210.17323

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import UniformCodec
    >>> weight = np.random.default_rng(0).normal(size=(64, 64))
    >>> encoded = UniformCodec(3).encode(weight)
    >>> encoded.bits_per_weight, float(np.mean((encoded.decode() - weight) ** 2).round(2))
    (3.5078125, 0.03)
    """

    _parameter_constraints = {
        "n_bits": [Interval(Integral, 1, 8, closed="both")],
        "group_size": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, n_bits=4, *, group_size=None):
        self.n_bits = n_bits
        self.group_size = group_size

    def encode(self, weight, hessian=None):
        """Encode a weight matrix.

        Parameters
        ----------
        weight : array-like of shape (n_outputs, n_inputs)
            The matrix, of floating-point numbers.

        hessian : array-like of shape (n_inputs, n_inputs), default=None
            Damped second moments of the inputs; None: plain rounding.

        Returns
        -------
        EncodedWeight

        Raises
        ------
        ValueError
            If a number is not finite, or the hessian is not symmetric and positive
            definite.
        """
        self._validate_params()
        weight, hessian = check_weight_and_hessian(weight, hessian)
        scale, relative = matrix_scale(weight)
        n_inputs = weight.shape[1]
        group_size = min(self.group_size or n_inputs, n_inputs)
        low, step = _grid(relative, group_size, 2**self.n_bits - 1)
        codes = np.empty(weight.shape, dtype=np.uint8)

        def encode_column(values, factor, columns):
            group = columns[0] // group_size
            of_group = low[:, group].astype(float), step[:, group].astype(float)
            column = _round(values[:, 0], *of_group, 2**self.n_bits - 1)
            codes[:, columns[0]] = column
            return (of_group[0] + of_group[1] * column)[:, None]

        diagonal = np.ones(n_inputs) if hessian is None else np.diagonal(hessian)
        order = np.argsort(-diagonal, kind="stable")
        feed_back(relative, hessian, order, np.ones(n_inputs, int), encode_column)
        arrays = {
            "codes": pack_codes(codes.ravel(), self.n_bits),
            "low": low, "step": step, "scale": scale,
        }  # fmt: skip
        meta = {"n_bits": int(self.n_bits), "group_size": int(group_size)}
        return EncodedWeight("UniformCodec", weight.shape, arrays, meta)

    @classmethod
    def decode_arrays(cls, shape, arrays, meta):
        """Decode what `encode` returned.

        Parameters
        ----------
        shape : tuple of int
            (n_outputs, n_inputs).

        arrays : dict of str to ndarray
            Packed codes, and the grids.

        meta : dict
            ``n_bits`` and ``group_size``.

        Returns
        -------
        ndarray of float64 of shape (n_outputs, n_inputs)
        """
        codes = unpack_codes(arrays["codes"], shape[0] * shape[1], meta["n_bits"])
        groups = np.arange(shape[1]) // meta["group_size"]
        low, step = (arrays[name].astype(float)[:, groups] for name in ("low", "step"))
        return (low + step * codes.reshape(shape)) * float(arrays["scale"][0])


def _grid(weight, group_size, n_steps):
    """Return the first level and the step of each row and group, in float16."""
    starts = np.arange(0, weight.shape[1], group_size)
    groups = np.arange(weight.shape[1]) // group_size
    lowest = np.minimum(np.minimum.reduceat(weight, starts, axis=1), 0)
    highest = np.maximum(np.maximum.reduceat(weight, starts, axis=1), 0)
    best = np.full(lowest.shape, np.inf)
    low, step = (np.empty(lowest.shape, dtype=np.float16) for _ in range(2))
    for part in SHRINKAGE:
        some_low = (part * lowest).astype(np.float16)
        some_step = (part * (highest - lowest) / n_steps).astype(np.float16)
        some_step[some_step == 0] = 1
        wide = some_low.astype(float)[:, groups], some_step.astype(float)[:, groups]
        rounded = wide[0] + wide[1] * _round(weight, *wide, n_steps)
        error = np.add.reduceat((rounded - weight) ** 2, starts, axis=1)
        is_better = error < best
        best[is_better] = error[is_better]
        low[is_better], step[is_better] = some_low[is_better], some_step[is_better]
    return low, step


def _round(values, low, step, n_steps):
    return np.clip(np.rint((values - low) / step), 0, n_steps)
