"""What turns a weight matrix into codes and back: the base of all codecs."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array


@dataclass(frozen=True, eq=False)
class EncodedWeight:
    """A weight matrix as codes: all that has to be stored.

    Parameters
    ----------
    codec : str
        Name of the class that made it, by which `decode` finds how to read it.

    shape : tuple of int
        (n_outputs, n_inputs).

    arrays : dict of str to ndarray
        Packed codes, scales, codebooks.

    meta : dict
        Parameters, of what JSON can hold.
    """

    codec: str
    shape: tuple
    arrays: dict
    meta: dict

    def decode(self):
        """Return the weight matrix.

        Returns
        -------
        ndarray of float64 of shape (n_outputs, n_inputs)

        Raises
        ------
        ValueError
            If no codec of this name is imported.
        """
        if self.codec not in _CODECS:
            raise ValueError(
                f"no codec is called {self.codec!r}: known are {sorted(_CODECS)}. Import "
                "the module that defines it."
            )
        return _CODECS[self.codec].decode_arrays(self.shape, self.arrays, self.meta)

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def bits_per_weight(self):
        """Stored bits for each number of the matrix, codebooks and scales included."""
        return 8 * self.nbytes / (self.shape[0] * self.shape[1])


_CODECS = {}


class WeightCodec(BaseEstimator):
    """Base of codecs for weight matrices; users write their own on it.

    A codec defines ``encode(weight, hessian=None)``, which returns an `EncodedWeight` of
    its own class's name, and the class method ``decode_arrays(shape, arrays, meta)``,
    which reads that. Everything it needs is in arrays and meta.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import EncodedWeight, WeightCodec
    >>> class SignCodec(WeightCodec):
    ...     def encode(self, weight, hessian=None):
    ...         arrays = {"bits": np.packbits(weight > 0), "scale": np.abs(weight).mean()}
    ...         return EncodedWeight("SignCodec", weight.shape, arrays, {})
    ...     @classmethod
    ...     def decode_arrays(cls, shape, arrays, meta):
    ...         bits = np.unpackbits(arrays["bits"], count=shape[0] * shape[1])
    ...         return (2.0 * bits.reshape(shape) - 1) * arrays["scale"]
    >>> SignCodec().encode(np.array([[1.0, -3.0]])).decode()
    array([[ 2., -2.]])
    """

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        _CODECS[cls.__name__] = cls

    def encode(self, weight, hessian=None):
        """Encode a weight matrix.

        Parameters
        ----------
        weight : ndarray of shape (n_outputs, n_inputs)
            The matrix.

        hessian : ndarray of shape (n_inputs, n_inputs), default=None
            Damped second moments of the inputs; None: the identity, and no error is
            fed back.

        Returns
        -------
        EncodedWeight
        """
        raise NotImplementedError(f"{type(self).__name__} defines no encode.")

    @classmethod
    def decode_arrays(cls, shape, arrays, meta):
        """Decode what `encode` returned.

        Parameters
        ----------
        shape : tuple of int
            (n_outputs, n_inputs).

        arrays : dict of str to ndarray
            Of the `EncodedWeight`.

        meta : dict
            Of the `EncodedWeight`.

        Returns
        -------
        ndarray of float64 of shape (n_outputs, n_inputs)
        """
        raise NotImplementedError(f"{cls.__name__} defines no decode_arrays.")


def check_weight_and_hessian(weight, hessian):
    """Return both in float64, the hessian None where it is.

    Raises
    ------
    TypeError
        If the weight holds integers.
    ValueError
        If numbers are not finite, or the hessian is not square, symmetric and as wide.
    """
    dtype = np.asarray(weight).dtype
    if dtype.kind != "f":
        raise TypeError(f"weight must hold floating-point numbers, got {dtype}.")
    weight = check_array(weight, dtype=np.float64, input_name="weight")
    if hessian is None:
        return weight, None
    hessian = check_array(hessian, dtype=np.float64, input_name="hessian")
    n_inputs = weight.shape[1]
    if hessian.shape != (n_inputs, n_inputs):
        raise ValueError(
            f"hessian must have shape ({n_inputs}, {n_inputs}) beside a weight of shape "
            f"{weight.shape}, got {hessian.shape}."
        )
    if np.abs(hessian - hessian.T).max() > 1e-6 * np.abs(hessian).max():
        raise ValueError("hessian must be symmetric.")
    return weight, hessian


def matrix_scale(weight):
    """Return the root mean square in float32, 1 for zeros, and the weight in its units."""
    largest = np.abs(weight).max()
    unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0
    with np.errstate(over="ignore"):
        scale = np.float32(unit * np.sqrt(np.mean((weight / unit) ** 2)))
    if not 0 < scale < np.inf:
        if largest > 0:
            raise ValueError(
                f"weight must be within float32, got numbers up to {largest:.3g}."
            )
        scale = np.float32(1)
    return np.full(1, scale), weight / np.float64(scale)


def relative_output_error(weight, decoded, hessian):
    """Return the error of a layer's outputs over their size.

    ``trace((W - Q) H (W - Q).T) / trace(W H W.T)``.

    Parameters
    ----------
    weight, decoded : array-like of shape (n_outputs, n_inputs)
        The original and what codes decode to.

    hessian : array-like of shape (n_inputs, n_inputs)
        Second moments of the inputs.

    Returns
    -------
    float
        0 where both are 0, infinity where only the size is.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import relative_output_error
    >>> relative_output_error([[3.0, 4.0]], [[3.0, 3.0]], np.eye(2))
    0.04
    """
    weight, hessian = np.asarray(weight, float), np.asarray(hessian, float)
    error = weight - np.asarray(decoded, float)
    numerator, denominator = (
        float(np.vdot(matrix @ hessian, matrix)) for matrix in (error, weight)
    )
    if denominator == 0:
        return 0.0 if numerator == 0 else float("inf")
    return numerator / denominator
