"""Weights as directions and lengths of groups, after a random rotation.

van der Ouderaa, Croci, Hilmkil, Hensman, "Pyramid Vector Quantization for LLMs", 2024.
"""

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.validation import Integral, Interval, Real
from minimalml.compression._packing import pack_codes, unpack_codes
from minimalml.compression._pyramid._coded_rows import decode_rows, encode_scaled_rows
from minimalml.compression._pyramid._gain_levels import beta_levels
from minimalml.compression._pyramid._group_plan import (
    MAX_GAIN_BITS,
    code_widths,
    even_plan,
    gain_bits_at,
)
from minimalml.compression._pyramid._rotation import (
    random_signs,
    rotate,
    rotate_back,
)
from minimalml.compression._weight_codec import (
    EncodedWeight,
    WeightCodec,
    check_weight_and_hessian,
    matrix_scale,
)

BITS = Interval(Real, 0, np.inf, closed="neither")
GROUP_SIZE = Interval(Integral, 1, None, closed="left")
GAIN_BITS = Interval(Integral, 0, MAX_GAIN_BITS, closed="both")


class PyramidCodec(WeightCodec):
    """Encode groups of weights by direction and length, without a codebook.

    Directions are integer points whose absolute values have a fixed sum, enumerated;
    lengths follow a law that a random rotation brings about. Any rate, nothing to learn,
    nothing to store but codes and a float16 a row: at 2 and 3 bits less error than rounding
    with the same feedback. O(m n (n + group_size)) time for an (m, n) matrix.

    Parameters
    ----------
    bits : float, default=2.0
        Bits a weight; whole bits of a group, so rounded down. 16 a row come on top.

    group_size : int, default=16
        Consecutive inputs that share a code. Longer groups lose less to rounding; a code
        has at most 64 bits.

    gain_bits : int, default=None
        Bits of a group's length among its bits, 0 to 6; None: ``bits`` - 0.5, rounded
        down.

    rotation : bool, default=True
        Rotate at random first, so that weights of any kind look Gaussian.

    random_state : int, RandomState instance or None, default=None
        Draws the rotation, which is stored as a seed.

    See Also
    --------
    WeightQuantizer : Encode the layers of a fitted model.
    PyramidQuantizer : The same for rows of data.

    Notes
    -----
    A group's length is the best one for the layer's outputs once later groups make up for
    the error, ``a M d / d M d`` of the group a, the direction d and the metric M of what is
    left to pay; the row's scale is fitted last, by least squares of the outputs.

    References
    ----------
    .. [1] T. van der Ouderaa, M. Croci, A. Hilmkil, J. Hensman, "Pyramid Vector
       Quantization for LLMs", 2024. arXiv:2410.16926

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import PyramidCodec
    >>> weight = np.random.default_rng(0).normal(size=(64, 64))
    >>> encoded = PyramidCodec(2.5, random_state=0).encode(weight)
    >>> encoded.bits_per_weight, float(np.mean((encoded.decode() - weight) ** 2).round(2))
    (2.7578125, 0.05)
    """

    _parameter_constraints = {
        "bits": [BITS],
        "group_size": [GROUP_SIZE],
        "gain_bits": [GAIN_BITS, None],
        "rotation": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self, bits=2.0, group_size=16, *, gain_bits=None, rotation=True,
        random_state=None,
    ):  # fmt: skip
        self.bits = bits
        self.group_size = group_size
        self.gain_bits = gain_bits
        self.rotation = rotation
        self.random_state = random_state

    def encode(self, weight, hessian=None):
        """Encode a weight matrix.

        Parameters
        ----------
        weight : array-like of shape (n_outputs, n_inputs)
            The matrix, of floating-point numbers.

        hessian : array-like of shape (n_inputs, n_inputs), default=None
            Damped second moments of the inputs; None: no feedback.

        Returns
        -------
        EncodedWeight

        Raises
        ------
        ValueError
            If a number is not finite, the hessian is not symmetric and positive definite,
            or ``bits`` are too few for any group, or too many for one of ``group_size``.
        """
        self._validate_params()
        weight, hessian = check_weight_and_hessian(weight, hessian)
        seed = None
        if self.rotation:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        gain_bits = (
            gain_bits_at(self.bits) if self.gain_bits is None else self.gain_bits
        )
        meta = {
            "bits": float(self.bits), "group_size": int(self.group_size),
            "gain_bits": int(gain_bits), "seed": seed,
        }  # fmt: skip
        plan, levels, signs = _read(weight.shape[1], meta)
        scale, relative = matrix_scale(weight)
        if hessian is not None:
            hessian = rotate(rotate(hessian, signs).T, signs)
        rows = rotate(relative, signs)
        codes, row_scales = encode_scaled_rows(rows, hessian, plan, levels)
        arrays = {
            "codes": pack_codes(codes, code_widths(plan)),
            "row_scales": row_scales, "scale": scale,
        }  # fmt: skip
        return EncodedWeight("PyramidCodec", weight.shape, arrays, meta)

    @classmethod
    def decode_arrays(cls, shape, arrays, meta):
        """Decode what `encode` returned.

        Parameters
        ----------
        shape : tuple of int
            (n_outputs, n_inputs).

        arrays : dict of str to ndarray
            Packed codes and the scales.

        meta : dict
            ``bits``, ``group_size``, ``gain_bits`` and ``seed``.

        Returns
        -------
        ndarray of float64 of shape (n_outputs, n_inputs)
        """
        plan, levels, signs = _read(shape[1], meta)
        codes = unpack_codes(arrays["codes"], shape[0], code_widths(plan))
        scales = arrays["row_scales"].astype(float) * float(arrays["scale"][0])
        return rotate_back(decode_rows(codes, plan, levels) * scales[:, None], signs)


def _read(n_columns, meta):
    """Return the plan, the levels of its groups and the signs of the rotation."""
    plan = even_plan(n_columns, meta["bits"], meta["group_size"], meta["gain_bits"])
    return plan, beta_law(plan, n_columns), random_signs(n_columns, meta["seed"])


def beta_law(plan, n_columns):
    """Return the gain levels of each group, empty without bits."""
    return [
        beta_levels(group.size, n_columns, group.gain_bits)
        if group.shape_bits
        else np.empty(0)
        for group in plan
    ]
