"""Adversarial primitives and softened pair targets, as plain functions.

Li, Jiang, Wang, Long, Zhang, Zhang, "Primitive-based adversarial training for
compositional zero-shot learning", arXiv 2406.14962, 2024.
"""

import numpy as np
from sklearn.utils import check_array, check_random_state

from minimalml._core.arrays import array_namespace, is_torch_tensor

# One grey level of sixteen, of 255: the start noise of the paper's code.
NOISE_SCALE = 16 / 255


def primitive_attack(
    features,
    gradient,
    epsilon,
    noise_scale=NOISE_SCALE,
    *,
    random_state=None,
):
    """Move features where their loss grows, as a new partner would move them.

    ``f + U(0, noise_scale) + epsilon * sign(g)``, elementwise: one signed gradient step
    from a random start. A classifier of attributes that trains on moved features stands
    the shift that another object brings. O(n d).

    Parameters
    ----------
    features, gradient : ndarray or torch.Tensor of shape (n, d)
        Disentangled features of one primitive, and the gradient of its loss by them.

    epsilon : float
        Size of the step, at least 0.

    noise_scale : float, default=16/255
        Largest start noise, at least 0.

    random_state : int, RandomState instance, torch.Generator or None, default=None
        Source of the noise; a torch.Generator (on the tensors' device) or an int for
        tensors.

    Returns
    -------
    ndarray or torch.Tensor of shape (n, d)
        Moved features; the input is not changed. Tensors come without a graph.

    Raises
    ------
    ValueError
        If ``epsilon`` or ``noise_scale`` is negative, or shapes differ.

    Examples
    --------
    >>> from minimalml.multioutput import primitive_attack
    >>> primitive_attack([[1.0, 2.0]], [[0.3, -4.0]], epsilon=0.5, noise_scale=0)
    array([[1.5, 1.5]])
    """
    for name, value in (("epsilon", epsilon), ("noise_scale", noise_scale)):
        if value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}.")
    is_tensor = is_torch_tensor(features)
    if is_tensor:
        features, gradient = features.detach(), gradient.detach()
    else:
        features, gradient = check_array(features), check_array(gradient)
    if features.shape != gradient.shape:
        raise ValueError(
            f"features and gradient must have the same shape, got "
            f"{tuple(features.shape)} and {tuple(gradient.shape)}."
        )
    sign = array_namespace(gradient).sign(gradient)
    if is_tensor:
        noise = _torch_uniform(features, random_state)
    else:
        noise = check_random_state(random_state).uniform(size=features.shape)
        noise = noise.astype(features.dtype, copy=False)
    return features + noise_scale * noise + epsilon * sign


def _torch_uniform(features, random_state):
    import torch

    if random_state is not None and not isinstance(random_state, torch.Generator):
        seed = random_state
        random_state = torch.Generator(device=features.device).manual_seed(seed)
    return torch.empty_like(features).uniform_(generator=random_state)


def smoothed_pair_targets(pairs, smoothing=0.1):
    """Give pairs that share a primitive with the true one a small share of the target.

    Row p holds ``1 - smoothing`` at p and ``smoothing / m`` at each of the m other
    pairs with the same attribute or the same object; a pair without such relatives
    keeps the whole target.

    Parameters
    ----------
    pairs : array-like of shape (P, 2)
        Distinct (attribute, object) pairs.

    smoothing : float, default=0.1
        Share that the relatives get, in [0, 1); 0 gives the identity.

    Returns
    -------
    ndarray of shape (P, P)
        Rows sum to 1.

    Raises
    ------
    ValueError
        If ``smoothing`` is not in [0, 1) or ``pairs`` has not two columns.

    Examples
    --------
    >>> from minimalml.multioutput import smoothed_pair_targets
    >>> smoothed_pair_targets([[0, 0], [0, 1], [1, 2]], smoothing=0.2)
    array([[0.8, 0.2, 0. ],
           [0.2, 0.8, 0. ],
           [0. , 0. , 1. ]])
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be in [0, 1), got {smoothing}.")
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs must have shape (P, 2), got {pairs.shape}.")
    related = (pairs[:, None] == pairs[None]).any(axis=2)
    np.fill_diagonal(related, False)
    n_related = related.sum(axis=1)
    targets = related * (smoothing / np.maximum(n_related, 1))[:, None]
    np.fill_diagonal(targets, np.where(n_related == 0, 1.0, 1 - smoothing))
    return targets
