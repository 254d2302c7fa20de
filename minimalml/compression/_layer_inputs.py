"""The rows that reach each linear layer of a model, and their moments."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import _num_samples

from minimalml._core.arrays import is_torch_module
from minimalml._core.models.delegation import last_step
from minimalml._core.models.linear_head import ACTIVATIONS
from minimalml._core.models.weights import find_weight_holder, model_weights
from minimalml.compression._input_moments import InputMoments

BATCH_ROWS = 1024


def layer_moments(model, reference, names, X, sample_weight=None):
    """Return the moments of what reaches layers, by name.

    Parameters
    ----------
    model : estimator or torch.nn.Module
        What rows are sent through.

    reference : estimator or torch.nn.Module, or None
        What they should have become: the original model.

    names : list of str
        Layers, as the weights view calls them.

    X : array-like
        Rows as the last step of ``model`` sees them.

    sample_weight : array-like of shape (n_samples,), or None

    Returns
    -------
    dict of str to InputMoments
        Without the layers that no row reaches.

    Raises
    ------
    ValueError
        If a layer is called another number of times than in ``reference``.
    """
    if not _num_samples(X):
        check_array(X)  # says what is wrong in scikit-learn's words
    if sample_weight is not None:  # rows without weight count as absent
        present = np.flatnonzero(sample_weight)
        X, sample_weight = X[present], np.asarray(sample_weight)[present]
    moments = {}
    for rows in gen_batches(_num_samples(X), BATCH_ROWS):
        inputs = layer_inputs(model, names, X[rows])
        wanted = (
            layer_inputs(reference, names, X[rows]) if reference is not None else {}
        )
        weights = None if sample_weight is None else sample_weight[rows]
        for name, calls in inputs.items():
            originals = wanted.get(name, []) if wanted else [None] * len(calls)
            if len(originals) != len(calls):
                raise ValueError(
                    f"layer {name!r} is called {len(calls)} times in the quantised model "
                    f"and {len(originals)} times in the original: use "
                    'calibration="parallel".'
                )
            for call, original in zip(calls, originals, strict=True):
                part = _moments_of_call(call, original, weights, rows)
                moments[name] = moments.get(name, 0) + part
    return moments


def _moments_of_call(rows, reference, weights, batch):
    if weights is not None:  # a row may have several positions
        weights = np.repeat(weights, len(rows) // (batch.stop - batch.start))
    return InputMoments.from_rows(rows, reference, weights)


def layer_inputs(model, names, X):
    """Return what reaches each layer: by name a list of (rows, inputs), one a call."""
    holder = find_weight_holder(model)
    if is_torch_module(holder):
        return _inputs_of_module(model, holder, names, X)
    X = X.toarray() if sparse.issparse(X) else np.asarray(X)
    X = check_array(X, dtype=[np.float64, np.float32])
    if not hasattr(holder, "coefs_"):
        return {name: [X] for name in names}
    activate, _ = ACTIVATIONS[holder.activation]
    inputs = {}
    for number, (weight, bias) in enumerate(
        zip(holder.coefs_, holder.intercepts_, strict=True)
    ):
        if f"coefs_.{number}" in names:
            inputs[f"coefs_.{number}"] = [X]
        X = activate(X @ weight + bias)
    return inputs


def _inputs_of_module(model, module, names, X):
    """Run the module with a hook before each linear layer, in the order of first calls."""
    import torch
    from torch import nn

    weights, inputs, hooks = model_weights(module), {}, []

    def hook_of(name):
        def remember(layer, arguments):
            rows = arguments[0].detach()
            inputs.setdefault(name, []).append(rows.reshape(-1, rows.shape[-1]))

        return remember

    pointers = {weights[name].data_ptr(): name for name in names}
    try:
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and layer.weight.data_ptr() in pointers:
                name = pointers[layer.weight.data_ptr()]
                hooks.append(layer.register_forward_pre_hook(hook_of(name)))
        with torch.no_grad():
            _run(last_step(model), module, X)
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


def _run(model, module, X):
    from minimalml._core.array_checks import as_tensor
    from minimalml._core.training.inference import evaluation_mode

    if not is_torch_module(model):  # its own preprocessing applies
        return model.predict(X) if hasattr(model, "predict") else model.transform(X)
    parameter = next(module.parameters())
    X = X.toarray() if sparse.issparse(X) else X
    with evaluation_mode(module):
        return module(as_tensor(X, dtype=parameter.dtype, device=parameter.device))
