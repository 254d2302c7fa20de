"""Logits of a batch: checked, or asked of a classifier."""

import numpy as np
from sklearn.utils import check_array

from minimalml._core.array_checks import as_tensor
from minimalml._core.arrays import array_namespace, is_torch_tensor, to_numpy

# Probabilities further out have a logarithm of no use, or none.
SMALLEST_PROBABILITY = 1e-12
# Sums of so many squares at least stay in range.
ROOM_FOR_SUMS = 1e8


def check_logits(logits, mask=None):
    """Return finite floats of shape (n_samples, n_positions, n_classes), and the mask.

    Masked positions are zero, whatever stood there. NumPy arrays and tensors stay what
    they are, but for half precision, which becomes float32.
    """
    logits = _as_floats(logits)
    if logits.ndim == 2:
        logits = logits[:, None]
    if logits.ndim != 3 or 0 in logits.shape:
        raise ValueError(
            "logits must have shape (n_samples, n_classes) or (n_samples, n_positions, "
            f"n_classes), none of them 0, got {tuple(logits.shape)}."
        )
    if mask is not None:
        mask = _check_mask(mask, logits)
        logits = array_namespace(logits).where(mask[:, :, None], logits, 0)
    xp = array_namespace(logits)
    limit = float((xp.finfo(logits.dtype).max / ROOM_FOR_SUMS) ** 0.5)
    # one comparison, false for NaN too
    if not bool((logits.max() < limit) & (logits.min() > -limit)):
        raise ValueError(
            f"logits contains NaN, infinity or numbers beyond {limit:.0e}, the squares "
            "of which overflow: has the model diverged?"
        )
    return logits, mask


def _as_floats(logits):
    if is_torch_tensor(logits):
        if not logits.is_floating_point():
            raise ValueError(f"logits must be floating-point, got {logits.dtype}.")
        logits = logits.detach()
        return logits.float() if logits.dtype.itemsize < 4 else logits
    is_half = getattr(logits, "dtype", None) == np.float16
    dtype = [np.float32] if is_half else [np.float64, np.float32]
    return check_array(
        logits,
        dtype=dtype,
        allow_nd=True,
        ensure_all_finite=False,
        input_name="logits",
    )


def _check_mask(mask, logits):
    if is_torch_tensor(logits):
        mask = as_tensor(mask, device=logits.device)
    else:
        mask = to_numpy(mask)
    if not str(mask.dtype).endswith("bool") or mask.shape != logits.shape[:2]:
        raise ValueError(
            "mask must be boolean, of shape (n_samples, n_positions) = "
            f"{tuple(logits.shape[:2])}, got {mask.dtype} of shape {tuple(mask.shape)}."
        )
    return mask


def logits_of(classifier, X, is_multilabel=False):
    """Return the logits that a fitted classifier gives to rows.

    Parameters
    ----------
    classifier : classifier
        ``decision_function`` is asked, or ``predict_proba`` where there is none.

    X : array-like of shape (n_samples, n_features)
        Rows.

    is_multilabel : bool, default=False
        Whether the columns of its answer are labels of which each may hold: each is a
        position then, as each output of a classifier of several is.

    Returns
    -------
    ndarray of shape (n_samples, n_classes) or (n_samples, n_positions, n_classes)
    """
    if hasattr(classifier, "decision_function"):
        decisions = np.asarray(classifier.decision_function(X))
        if decisions.ndim == 1 or is_multilabel:
            return _two_sided(decisions)
        return _two_sided(decisions[:, 0]) if decisions.shape[1] == 1 else decisions
    probabilities = classifier.predict_proba(X)
    if isinstance(probabilities, list):
        return _stacked([_centred_logarithms(p) for p in probabilities])
    if not is_multilabel:
        return _centred_logarithms(probabilities)
    p = np.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return _two_sided(np.log(p) - np.log1p(-p))


def _two_sided(decisions):
    """Return the logits of no and yes."""
    return np.stack([-decisions / 2, decisions / 2], axis=-1)


def _centred_logarithms(probabilities):
    """Return logits; a softmax fixes them up to a constant: here their mean is 0."""
    logits = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    return logits - logits.mean(axis=1, keepdims=True)


def _stacked(outputs):
    """Return outputs as positions; classes that one lacks are 0, which no norm sees."""
    n_classes = max(logits.shape[1] for logits in outputs)
    padded = [
        np.pad(logits, ((0, 0), (0, n_classes - logits.shape[1]))) for logits in outputs
    ]
    return np.stack(padded, axis=1)
