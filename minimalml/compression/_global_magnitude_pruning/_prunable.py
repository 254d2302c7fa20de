"""Which of a model's weights may be pruned."""

from minimalml._core.models.weights import SUPPORTED, model_weights, weight_kinds


def prunable_weights(model, exclude=None):
    """Return the live weight matrices and kernels of a model, by name.

    Biases, normalisations, embeddings and other parameters are left out.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        Of a kind that ``model_weights`` takes.

    exclude : str, list of str, callable or None, default=None
        Names to leave out, or ``exclude(name) -> bool``.
    """
    weights, kinds = model_weights(model), weight_kinds(model)
    prunable = {name: w for name, w in weights.items() if kinds[name] == "weight"}
    if not prunable:
        raise TypeError(
            f"{type(model).__name__} has no weights to prune; supported are {SUPPORTED}."
        )
    if exclude is None:
        return prunable
    is_excluded = exclude
    if not callable(exclude):
        names = [exclude] if isinstance(exclude, str) else list(exclude)
        unknown = [name for name in names if name not in prunable]
        if unknown:
            raise ValueError(
                f"exclude names {unknown}, which can't be pruned anyway or do not "
                f"exist; prunable are {list(prunable)}."
            )
        is_excluded = names.__contains__
    left = {name: w for name, w in prunable.items() if not is_excluded(name)}
    if not left:
        raise ValueError(f"exclude leaves nothing to prune of {list(prunable)}.")
    return left
