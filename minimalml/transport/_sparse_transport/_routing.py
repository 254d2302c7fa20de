"""Deal tokens to experts by k-sparse transport: balance without an auxiliary loss.

Liu, Puigcerver, Blondel (ICLR 2023): the dual of a transport problem between the tokens
and the experts of a group, by a fixed number of Adam's steps for all groups at once.
"""

from math import ceil
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax
from sklearn.utils import check_array

from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml._core.validation import Interval, StrOptions, validate_params
from minimalml.transport._sparse_transport._projection import project_largest

DECAYS, EPSILON = (0.9, 0.999), 1e-8  # Adam's own
ROUNDING = 1e-9  # 1.1 * 50 / 5 is a capacity of 11, not 12


class RoutingResult(NamedTuple):
    """Which expert does what; arrays or tensors of the shape of the logits.

    Attributes
    ----------
    dispatch : bool array of shape (..., n_tokens, n_experts)
        Whether an expert gets a token.

    combine : array of shape (..., n_tokens, n_experts)
        Weight of the expert's output: its softmax gate where ``dispatch``, else 0.

    plan : array of shape (..., n_tokens, n_experts)
        The transport plan.
    """

    dispatch: Any
    combine: Any
    plan: Any


@validate_params(
    {
        "logits": "no_validation",
        "choice": [StrOptions({"expert", "token"})],
        "capacity_factor": [Interval(Real, 0, None, closed="neither")],
        "n_selected": [Interval(Integral, 1, None, closed="left")],
        "reg": [Interval(Real, 0, None, closed="neither")],
        "n_steps": [Interval(Integral, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def sparse_transport_routing(
    logits,
    *,
    choice="expert",
    capacity_factor=1.0,
    n_selected=1,
    reg=1.0,
    n_steps=20,
    learning_rate=1e-2,
):
    """Choose the experts of tokens, or the tokens of experts, evenly.

    The router of a mixture-of-experts layer: scores of tokens for experts become a plan
    with few non-zeros. Gradients flow through the gates of ``combine``, as with top-k
    gating; the plan's balance needs no auxiliary loss.

    Parameters
    ----------
    logits : array-like or tensor of shape (..., n_tokens, n_experts)
        Scores; leading axes are independent groups. Tensors stay on their device, and
        are not asked for NaN, which would have to wait for it.

    choice : {"expert", "token"}, default="expert"
        Who chooses. "expert": no expert gets more tokens than its capacity, ever.
        "token": a token gets ``n_selected`` experts at most, and the loads of experts are
        pulled towards the mean only.

    capacity_factor : float, default=1.0
        Capacity of an expert in units of n_tokens / n_experts, rounded up and at most
        n_tokens. Below 1 some tokens get no expert. Not read with ``choice="token"``.

    n_selected : int, default=1
        Experts that a token may have, with ``choice="token"``.

    reg : float, default=1.0
        Weight of the squares of the plan; small fills fewer places.

    n_steps : int, default=20
        Steps of Adam on the dual; 0 routes by gates alone.

    learning_rate : float, default=0.01
        Of Adam.

    Returns
    -------
    RoutingResult
        ``dispatch`` (bool), ``combine`` and ``plan``, in the dtype of the logits; half
        types are computed in float32, integers in float64.

    Raises
    ------
    ValueError
        If a parameter is out of range, or logits have fewer than two dimensions, no
        token or no expert.

    Notes
    -----
    The cost of a token and an expert is minus its gate. Time: ``n_steps`` sorts of the
    gates; memory: a few arrays of their size.

    References
    ----------
    .. [1] T. Liu, J. Puigcerver, M. Blondel, "Sparsity-Constrained Optimal Transport",
       ICLR 2023. arXiv:2209.15466

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.transport import sparse_transport_routing
    >>> logits = np.random.default_rng(0).normal(size=(64, 8)) + np.arange(8)
    >>> dispatch, combine, plan = sparse_transport_routing(logits)
    >>> dispatch.sum(axis=0)  # though all tokens like the last expert best
    array([8, 8, 8, 8, 8, 8, 8, 8])
    """
    logits, dtype = _check_logits(logits)
    n_tokens, n_experts = logits.shape[-2:]
    if choice == "token" and n_selected > n_experts:
        raise ValueError(
            f"n_selected={n_selected} but logits have {n_experts} experts: a token can "
            "have at most all of them."
        )
    if is_torch_tensor(logits):
        gates = logits.softmax(-1)
        similarity = gates.detach()
    else:
        gates = similarity = softmax(logits, axis=-1)
    mean_load = n_tokens / n_experts
    if choice == "expert":
        capacity = min(n_tokens, max(1, ceil(capacity_factor * mean_load - ROUNDING)))
        plan = _transport(
            similarity.swapaxes(-1, -2), 1.0, mean_load, capacity, reg, n_steps,
            learning_rate,
        ).swapaxes(-1, -2)  # fmt: skip
    else:
        plan = _transport(
            similarity, mean_load, 1.0, n_selected, reg, n_steps, learning_rate
        )
    dispatch = plan > 0
    return RoutingResult(dispatch, _cast(gates * dispatch, dtype), _cast(plan, dtype))


def _check_logits(logits):
    """Return logits in the type to compute in, and the type to answer in."""
    if not is_torch_tensor(logits):
        logits = check_array(
            logits, dtype=[np.float64, np.float32, np.float16], ensure_2d=False,
            allow_nd=True, input_name="logits",
        )  # fmt: skip
    if logits.ndim < 2 or not all(logits.shape[-2:]):
        raise ValueError(
            "logits must have shape (..., n_tokens, n_experts) with a token and an "
            f"expert at least, got {tuple(logits.shape)}."
        )
    xp = array_namespace(logits)
    if is_torch_tensor(logits) and not logits.is_floating_point():
        logits = _cast(logits, xp.float64)
    is_half = logits.dtype.itemsize < 4
    return (_cast(logits, xp.float32) if is_half else logits), logits.dtype


def _cast(values, dtype):
    return values.to(dtype) if is_torch_tensor(values) else values.astype(dtype)


def _transport(similarity, a, b, k, reg, n_steps, learning_rate):
    """Return plans (..., n_columns, n_rows) whose rows sum to nearly ``a``."""
    xp = array_namespace(similarity)
    alpha = xp.zeros_like(similarity[..., :1, :])
    mean, square = xp.zeros_like(alpha), xp.zeros_like(alpha)
    for step in range(1, n_steps + 1):
        plan = project_largest((alpha + similarity) / reg, k, b)
        gradient = a - plan.sum(-2)[..., None, :]
        mean = DECAYS[0] * mean + (1 - DECAYS[0]) * gradient
        square = DECAYS[1] * square + (1 - DECAYS[1]) * gradient**2
        size = (square / (1 - DECAYS[1] ** step)) ** 0.5 + EPSILON
        alpha = alpha + learning_rate * mean / (1 - DECAYS[0] ** step) / size
    return project_largest((alpha + similarity) / reg, k, b)
