"""One view of a model's weights: a dictionary from name to live array.

Methods that act on weights (pruning, averaging, quantising) read and write any
supported model through it. Names are those that the model's own library uses:
``coef_``, ``coefs_.0``, or a torch module's ``state_dict`` keys.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from minimalml._core.arrays import is_torch_module, is_torch_tensor, to_numpy
from minimalml._core.models.delegation import inner_model
from minimalml._core.models.named_arrays import name_arrays
from minimalml._core.validation import check_is_fitted

SUPPORTED = (
    "fitted linear models (coef_), MLPClassifier and MLPRegressor of scikit-learn, "
    "torch modules, pipelines and searches that end in one of these, and mappings "
    "or lists of arrays"
)


def model_weights(model):
    """Return a model's weights by name: the live arrays, not copies.

    Parameters
    ----------
    model : estimator, torch.nn.Module, mapping or sequence of arrays
        A fitted scikit-learn linear model, MLPClassifier or MLPRegressor; a fitted
        estimator that keeps a network in ``module_``; a torch module; or arrays. Of
        a Pipeline the last step counts, of a search ``best_estimator_``, of a
        FrozenEstimator what it holds, of other meta-estimators ``estimator_``.

    Returns
    -------
    dict
        Name to array: ``coef_`` and ``intercept_``, ``coefs_.0`` and
        ``intercepts_.0``, a module's parameter names (a tied tensor once, under its
        first name; buffers are in `model_buffers`), a mapping's keys, or a
        sequence's indices. Tensors are detached and share the module's memory. What a
        parametrization or ``torch.nn.utils.prune`` computes comes as a copy of what
        the module uses, under its plain name. An intercept that the model holds as a
        plain number comes as a 0-d copy.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If an estimator is not fitted.
    TypeError
        If the model is not of a supported kind, naming those that are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from minimalml._core.models.weights import model_weights
    >>> model = Ridge().fit(np.eye(3), [1.0, 2.0, 3.0])
    >>> model_weights(model)["coef_"] is model.coef_
    True
    """
    holder = find_weight_holder(model)
    if is_torch_module(holder):
        return {name: weight.read() for name, weight in module_weights(holder).items()}
    if isinstance(holder, (Mapping, Sequence)):
        return name_arrays(holder)
    weights = {}
    for attribute in _weight_attributes(holder):
        value = getattr(holder, attribute)
        if isinstance(value, list):
            weights |= {f"{attribute}.{i}": array for i, array in enumerate(value)}
        else:
            weights[attribute] = np.asarray(value)
    return weights


def set_model_weights(model, weights):
    """Write weights into a model, keeping its dtypes, layouts and devices.

    Parameters
    ----------
    model : estimator, torch.nn.Module, mapping or sequence of arrays
        As in `model_weights`; changed in place.

    weights : dict
        Name to array, for all of the model's weights or some of them.

    Returns
    -------
    model
        The model that was given.

    Raises
    ------
    ValueError
        If the model has no weight of a name, it has another shape, or it is computed
        from others.
    TypeError
        If a value can't be stored in the weight's dtype, such as complex in float.
    """
    holder, current = find_weight_holder(model), model_weights(model)
    refuse_computed(holder, weights)
    for name, value in weights.items():
        if name not in current:
            raise ValueError(
                f"the model has no weight named {name!r}, it has {sorted(current)}."
            )
        if tuple(np.shape(value)) != tuple(current[name].shape):
            raise ValueError(
                f"weight {name!r} has shape {tuple(current[name].shape)}, got "
                f"{tuple(np.shape(value))}."
            )
    for name, value in weights.items():
        target = current[name]
        if is_torch_tensor(target):
            from minimalml._core.models.weights_torch import write_tensor

            write_tensor(target, value)
        elif target.flags.writeable and target.ndim:
            np.copyto(target, to_numpy(value), casting="same_kind")
        else:
            copy = np.array(target, order="K")
            np.copyto(copy, to_numpy(value), casting="same_kind")
            _replace(holder, name, copy)
    return model


def model_buffers(model):
    """Return a torch module's buffers (running means and the like) by name.

    Empty for models without buffers.
    """
    holder = find_weight_holder(model)
    return dict(holder.named_buffers()) if is_torch_module(holder) else {}


def weight_kinds(model):
    """Say of each of a model's weights what it is.

    Parameters
    ----------
    model : estimator, torch.nn.Module, mapping or sequence of arrays
        As in `model_weights`.

    Returns
    -------
    dict
        Name to "weight" (the matrix or kernel of a linear map: dense, convolutional,
        recurrent or attention), "bias", "norm" (scale and shift of a normalisation),
        "embedding" or "other" (a parameter that a module keeps for itself). Bare
        arrays are all weights: whoever passed them chose them.
    """
    holder = find_weight_holder(model)
    if is_torch_module(holder):
        return {name: weight.kind() for name, weight in module_weights(holder).items()}
    return {
        name: "bias" if str(name).startswith("intercept") else "weight"
        for name in model_weights(holder)
    }


def module_weights(module):
    """Return the weights of a torch module as `TorchWeight`, tied ones once."""
    from minimalml._core.models.weights_torch import first_uses, torch_weights

    return first_uses(torch_weights(module))


def refuse_computed(model, names):
    """Raise a ValueError if one of the weights is computed, so that writing is no use."""
    if not is_torch_module(model):
        return
    weights = module_weights(model)
    for name in names:
        if name in weights and not weights[name].is_plain:
            raise ValueError(
                f"weight {name!r} is computed from other parameters and can't be "
                "written: make it plain first, by torch.nn.utils.prune.remove, "
                "torch.nn.utils.parametrize.remove_parametrizations or, after "
                "prune_module, finalize."
            )


def weight_matrices(model, exclude=None, *, is_changed=False):
    """Return the weights of kind "weight", matrices and kernels, by name.

    Parameters
    ----------
    model : estimator, torch.nn.Module, mapping or sequence of arrays
        As in `model_weights`.

    exclude : str, list of str or callable, default=None
        Names to leave out, or ``exclude(name) -> bool``.

    is_changed : bool, default=False
        Whether they will be written to, which computed ones can't be.

    Raises
    ------
    TypeError
        If the model has none, naming what is supported.
    ValueError
        If ``exclude`` leaves none or names others, or they can't be changed.
    """
    weights, kinds = model_weights(model), weight_kinds(model)
    names = [name for name in weights if kinds[name] == "weight"]
    if not names:
        raise TypeError(
            f"{type(model).__name__} has no weight matrices; supported are {SUPPORTED}."
        )
    if not callable(exclude):
        excluded = [exclude] if isinstance(exclude, str) else list(exclude or ())
        unknown = [name for name in excluded if name not in names]
        if unknown:
            raise ValueError(
                f"exclude names {unknown}, which are no weight matrices or do not "
                f"exist; these are {names}."
            )
        exclude = excluded.__contains__
    left = [name for name in names if not exclude(name)]
    if not left:
        raise ValueError(f"exclude leaves nothing of {names}.")
    if is_changed:
        refuse_computed(find_weight_holder(model), left)
    return {name: weights[name] for name in left}


def find_weight_holder(model):
    """Return the innermost object that holds the weights of ``model``."""
    if is_torch_module(model) or isinstance(model, Mapping):
        return model
    if isinstance(model, Sequence) and not isinstance(model, (str, bytes)):
        return model
    if not isinstance(model, BaseEstimator):
        raise _unsupported(model)
    if not isinstance(model, Pipeline):  # its steps are asked one by one
        check_is_fitted(model)
    inner = inner_model(model)
    if inner is None and is_torch_module(vars(model).get("module_")):
        inner = model.module_
    if inner is not None:
        return find_weight_holder(inner)
    if not _weight_attributes(model):
        raise _unsupported(model)
    return model


def _weight_attributes(estimator):
    # vars, not hasattr: SVC and others compute coef_ anew at each access, so
    # writing to it would change nothing
    attributes = vars(estimator)
    if "coefs_" in attributes:
        return ["coefs_", "intercepts_"]
    if isinstance(attributes.get("coef_"), np.ndarray):
        return [name for name in ("coef_", "intercept_") if name in attributes]
    if issparse(attributes.get("coef_")):
        raise TypeError(
            f"{type(estimator).__name__}.coef_ is a sparse matrix: call densify() "
            "on the estimator first."
        )
    return []


def _unsupported(model):
    why = "has no weights that minimalml can reach"
    if "estimators_" in getattr(model, "__dict__", {}):
        why = "is an ensemble, whose members have to be taken one by one"
    return TypeError(f"{type(model).__name__} {why}; supported are {SUPPORTED}.")


def _replace(holder, name, array):
    attribute, _, index = str(name).partition(".")
    if not isinstance(holder, BaseEstimator):
        holder[name] = array
    elif index:
        getattr(holder, attribute)[int(index)] = array
    elif isinstance(getattr(holder, attribute), np.ndarray):
        setattr(holder, attribute, array)
    else:  # a plain number, as the intercept of a single-output Ridge
        setattr(holder, attribute, type(getattr(holder, attribute))(array))
