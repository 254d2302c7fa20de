"""Which of a model's weights may be pruned."""

from minimalml._core.models.weights import (
    SUPPORTED,
    find_weight_holder,
    model_weights,
    refuse_computed,
    weight_kinds,
)


def prunable_weights(model, exclude=None, *, is_changed=False):
    """Return the weight matrices and kernels of a model, by name.

    Biases, normalisations, embeddings and other parameters are left out.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        Of a kind that ``model_weights`` takes.

    exclude : str, list of str or callable, default=None
        Names to leave out, or ``exclude(name) -> bool``.

    is_changed : bool, default=False
        Whether they will be written to, which computed ones can't be.
    """
    weights, kinds = model_weights(model), weight_kinds(model)
    prunable = {name: w for name, w in weights.items() if kinds[name] == "weight"}
    if not prunable:
        raise TypeError(
            f"{type(model).__name__} has no weights to prune; supported are {SUPPORTED}."
        )
    left = {name: prunable[name] for name in _names_left(list(prunable), exclude)}
    if is_changed:
        refuse_computed(find_weight_holder(model), left)
    return left


def _names_left(names, exclude):
    if exclude is None:
        return names
    is_excluded = exclude
    if not callable(exclude):
        excluded = [exclude] if isinstance(exclude, str) else list(exclude)
        unknown = [name for name in excluded if name not in names]
        if unknown:
            raise ValueError(
                f"exclude names {unknown}, which can't be pruned anyway or do not "
                f"exist; prunable are {names}."
            )
        is_excluded = excluded.__contains__
    left = [name for name in names if not is_excluded(name)]
    if not left:
        raise ValueError(f"exclude leaves nothing to prune of {names}.")
    return left
