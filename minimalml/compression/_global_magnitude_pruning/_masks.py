"""Keep masks by magnitude: over all tensors together, tensor by tensor, random.

Ranking all weights together lets the sparsity of each layer come out by itself
(Gupta et al., "Is complexity required for neural network pruning?", 2022).
"""

from numbers import Integral

import numpy as np

from minimalml._core.models.named_arrays import (
    copy_of,
    like_container,
    name_arrays,
    size_of,
)
from minimalml.compression._global_magnitude_pruning._ranking import (
    Rule,
    make_generator,
    sizes_of,
)
from minimalml.compression._global_magnitude_pruning._schedule import n_to_prune
from minimalml.compression._global_magnitude_pruning._selection import (
    FORMATS,
    common_format,
    find_threshold,
    format_of,
    zero_masked,
)


def global_magnitude_mask(
    weights, sparsity=None, *, n_keep=None, min_weights=0, min_fraction=None,
    ties="exact", floor_rule="exact",
):  # fmt: skip
    """Mark the largest weights of all tensors together as those to keep.

    The default way to prune: no scores, no settings. Use `layerwise_magnitude_mask`
    where each tensor must lose the same share. O(n) time for n weights; besides the
    masks at most 10 MB. Large tensors are read in place: arrays mapped from files
    larger than the memory work.

    Parameters
    ----------
    weights : list, tuple or dict of arrays or tensors
        Tensors of any shape, of float16, bfloat16 (torch), float32 or float64. They
        may lie on several devices. Zero-size tensors are skipped.

    sparsity : float, default=None
        Share of all weights to prune, in [0, 1): floor(sparsity * n) of them.

    n_keep : int, default=None
        Number of weights to keep, instead of ``sparsity``.

    min_weights : int, default=0
        Floor: each tensor keeps at least so many weights, or all if it has fewer.

    min_fraction : float, default=None
        The same floor as a fraction of the weights of *all* tensors, in [0, 1];
        the paper uses 0.0005.

    ties : {"exact", "threshold"}, default="exact"
        "exact" prunes as many as asked: of equal magnitudes those of earlier tensors and
        lower flat index. "threshold" keeps all that equal the largest one to go.

    floor_rule : {"exact", "rescale"}, default="exact"
        "exact" maximises the magnitude kept under the floors and the exact total.
        "rescale" is the paper's rescaling of sparsities; its total is approximate.

    Returns
    -------
    list, tuple or dict of boolean arrays or tensors
        True marks a weight to keep; container, shapes and devices as in ``weights``.

    Raises
    ------
    TypeError
        If a weight is not of a supported floating dtype.
    ValueError
        If a weight is NaN, a parameter is out of range, or the floors leave too
        little to prune; the largest feasible sparsity is named.

    See Also
    --------
    global_threshold : Only the threshold.
    apply_masks : Zero what masks do not keep.

    Notes
    -----
    With magnitudes ranked over all tensors, the mask solves

        max sum of kept abs(w)  subject to  kept = n - n_prune,  kept_l >= f_l

    where f_l = min(n_l, floor): the best approximation of ``weights`` in Euclidean norm
    with that many nonzeros. Masks are nested: a larger sparsity keeps a subset.

    References
    ----------
    Gupta et al. "Is complexity required for neural network pruning? A case study on
    global magnitude pruning", 2022. arXiv 2209.14624.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import global_magnitude_mask
    >>> weights = [np.array([0.1, -3.0, 0.2]), np.array([[2.0, -0.3]])]
    >>> global_magnitude_mask(weights, sparsity=0.6)
    [array([False,  True, False]), array([[ True, False]])]
    """
    rule = Rule("global", min_weights, min_fraction, ties, floor_rule)
    return _masks_by(rule, weights, sparsity, n_keep)


def layerwise_magnitude_mask(
    weights, sparsity=None, *, n_keep=None, min_weights=0, min_fraction=None,
    ties="exact", floor_rule="exact",
):  # fmt: skip
    """Mark the largest weights of each tensor by itself: the usual baseline.

    Every tensor loses the same share, to within one weight. O(n) time.

    Parameters
    ----------
    weights, sparsity, n_keep, min_weights, min_fraction, ties, floor_rule
        As in `global_magnitude_mask`. Ties are those within a tensor; what a floor
        saves is taken from the other tensors in proportion.

    Returns
    -------
    list, tuple or dict of boolean arrays or tensors
        True marks a weight to keep.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import layerwise_magnitude_mask
    >>> layerwise_magnitude_mask([np.array([3.0, 4.0]), np.array([1.0, 2.0])], 0.5)
    [array([False,  True]), array([False,  True])]
    """
    rule = Rule("layer", min_weights, min_fraction, ties, floor_rule)
    return _masks_by(rule, weights, sparsity, n_keep)


def random_mask(
    weights, sparsity=None, *, n_keep=None, min_weights=0, min_fraction=None,
    ties="exact", floor_rule="exact", random_state=None,
):  # fmt: skip
    """Mark weights drawn at random: the baseline that any criterion must beat.

    Parameters
    ----------
    weights, sparsity, n_keep, min_weights, min_fraction, ties, floor_rule
        As in `global_magnitude_mask`. Only shapes matter, hence ``ties`` has no effect;
        each tensor's floor is kept at random, then the rest is drawn from all.

    random_state : int, RandomState instance or None, default=None
        Makes the draw repeatable.

    Returns
    -------
    list, tuple or dict of boolean arrays or tensors
        True marks a weight to keep.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import random_mask
    >>> masks = random_mask([np.ones(30), np.ones(70)], 0.9, random_state=0)
    >>> int(masks[0].sum() + masks[1].sum())
    10
    """
    draws = make_generator(random_state)
    rule = Rule("random", min_weights, min_fraction, ties, floor_rule, draws)
    return _masks_by(rule, weights, sparsity, n_keep)


def global_threshold(weights, sparsity):
    """Find the magnitude up to which all tensors' weights are pruned.

    Parameters
    ----------
    weights : list, tuple or dict of arrays or tensors
        As in `global_magnitude_mask`.

    sparsity : float
        Share of the weights to prune, in [0, 1).

    Returns
    -------
    tau : float
        The floor(sparsity * n)-th smallest magnitude; -inf if nothing is to go.

    n_tied_to_prune : int
        How many weights of exactly that magnitude are pruned, besides all smaller.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import global_threshold
    >>> global_threshold([np.array([1.0, -2.0]), np.array([2.0, 3.0])], 0.5)
    (2.0, 1)
    """
    named = name_weights(weights)
    n_prune, number_format = count_to_prune(named, sparsity), common_format(named)
    threshold = find_threshold(named, n_prune, number_format)
    tau = number_format.value_of(threshold.key) if n_prune else -np.inf
    return tau, threshold.n_ties_to_prune


def apply_masks(weights, masks, inplace=False):
    """Zero the weights that masks do not keep.

    Parameters
    ----------
    weights : list, tuple or dict of arrays or tensors
        What to prune.

    masks : list, tuple or dict of boolean arrays or tensors
        Of the same names and shapes.

    inplace : bool, default=False
        Whether to write into ``weights`` rather than return copies.

    Returns
    -------
    list, tuple or dict of arrays or tensors
        Pruned weights are +0.0.

    Raises
    ------
    ValueError
        If names or shapes differ.
    TypeError
        If a mask is not boolean.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.compression import apply_masks
    >>> apply_masks([np.array([1.0, -2.0])], [np.array([True, False])])
    [array([1., 0.])]
    """
    named, masks = name_arrays(weights), name_arrays(masks, "masks", "mask")
    if list(named) != list(masks):
        raise ValueError(
            f"masks must be for {list(named)}, got masks for {list(masks)}."
        )
    for name, mask in masks.items():
        if str(mask.dtype).removeprefix("torch.") != "bool":
            raise TypeError(
                f"the mask of weight {name!r} must be boolean, got {mask.dtype}."
            )
        if tuple(mask.shape) != tuple(named[name].shape):
            raise ValueError(
                f"the mask of weight {name!r} has shape {tuple(mask.shape)}, expected "
                f"{tuple(named[name].shape)}."
            )
    if not inplace:
        named = {name: copy_of(tensor) for name, tensor in named.items()}
    for name, tensor in named.items():
        zero_masked(tensor, masks[name])
    return weights if inplace else like_container(weights, named)


def name_weights(weights):
    """Return a dictionary of weights that can be ranked, at least one of them."""
    named = name_arrays(weights)
    for name, tensor in named.items():
        if format_of(tensor) is None:
            raise TypeError(
                f"weight {name!r} has dtype {tensor.dtype}; supported are "
                f"{', '.join(FORMATS)}."
            )
    if not sum(map(size_of, named.values())):
        raise ValueError(f"weights must hold at least one weight, got {weights!r}.")
    return named


def count_to_prune(named, sparsity, n_keep=None):
    """Return how many weights go, from either way to say it."""
    n = int(sizes_of(named).sum())
    if (sparsity is None) == (n_keep is None):
        got = f"sparsity={sparsity!r} and n_keep={n_keep!r}"
        raise ValueError(
            f"exactly one of sparsity and n_keep must be given, got {got}."
        )
    if n_keep is None:
        return n_to_prune(sparsity, n)
    if not isinstance(n_keep, Integral) or not 1 <= n_keep <= n:
        raise ValueError(
            f"n_keep must be an int from 1 to the number of weights, {n}, got "
            f"{n_keep!r}."
        )
    return n - int(n_keep)


def _masks_by(rule, weights, sparsity, n_keep):
    named = name_weights(weights)
    n_prune = count_to_prune(named, sparsity, n_keep)
    return like_container(weights, rule.masks(named, n_prune))
