"""The learned soup: mixing weights that minimise the validation loss, by gradients.

Wortsman et al., "Model soups", ICML 2022, appendix on learned soups.
"""

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.linear_model import SGDRegressor
from sklearn.linear_model._base import LinearClassifierMixin, LinearModel
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from minimalml._core.array_checks import as_tensor, encode_labels
from minimalml._core.models.delegation import last_step, rows_of_last_step
from minimalml._core.training.network import NetworkEstimator, NetworkRegressor

LEARNING_RATE, N_STEPS = 0.1, 60
# Up to so many rows are taken whole; above, a step takes a batch.
WHOLE_ROWS, BATCH_ROWS = 4096, 256
ACTIVATIONS = {
    "identity": lambda x: x,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


def learn_mixing_weights(model, states, X, y, sample_weight, seed):
    """Return what each state counts for in the mixture of least loss, shape (k,)."""
    holder = last_step(model)
    outputs = outputs_function(holder)
    stack = StateStack(states)
    rows = rows_of_last_step(model, X)
    X = as_tensor(rows.toarray() if issparse(rows) else np.asarray(rows))
    y = as_tensor(_targets(holder, y), device=stack.values.device)
    X = X.to(stack.values)
    weight = torch.ones(len(X)) if sample_weight is None else as_tensor(sample_weight)
    weight = weight.to(X)
    mixing = torch.zeros(len(states), device=X.device, requires_grad=True)
    log_beta = torch.zeros((), device=X.device, requires_grad=True)
    optimizer = torch.optim.AdamW([mixing, log_beta], LEARNING_RATE, weight_decay=0.0)
    for batch in _batches(len(X), seed, X.device):
        optimizer.zero_grad()
        theta = stack.mix(mixing)
        loss = mixing_loss(outputs(theta, X[batch]), y[batch], log_beta)
        (loss * weight[batch]).mean().backward()
        optimizer.step()
    weights = mixing.detach().double().softmax(0).cpu().numpy()
    return weights / weights.sum()


def mixing_loss(outputs, y, log_beta):
    """Return the loss of each row: cross-entropy of classes, else squared error."""
    if y.is_floating_point():
        return (outputs - y).square().mean(1)
    return cross_entropy(log_beta.exp() * outputs, y, reduction="none")


class StateStack:
    """The floating arrays of k states as one matrix (k, n_weights)."""

    def __init__(self, states, dtype=torch.float32):
        first = {name: as_tensor(array) for name, array in states[0].items()}
        self.fixed = {k: v for k, v in first.items() if not v.is_floating_point()}
        self.shapes = {k: v.shape for k, v in first.items() if k not in self.fixed}
        self.values = torch.stack(
            [
                torch.cat([as_tensor(s[k]).to(dtype).reshape(-1) for k in self.shapes])
                for s in states
            ]
        )

    def mix(self, mixing):
        """Return the mean state by the softmax of ``mixing``; its gradient is one product."""
        flat = mixing.softmax(0) @ self.values
        pieces = flat.split([shape.numel() for shape in self.shapes.values()])
        shaped = zip(self.shapes.items(), pieces, strict=True)
        return {
            name: piece.reshape(shape) for (name, shape), piece in shaped
        } | self.fixed


def outputs_function(holder):
    """Return ``f(state, X)``, the outputs of an estimator in tensors."""
    if isinstance(holder, NetworkEstimator):
        module = holder.module_
        return lambda state, X: functional_call(module, state, X).reshape(len(X), -1)
    is_mlp = isinstance(holder, MLPClassifier | MLPRegressor)
    if is_mlp and holder.out_activation_ != "exp":  # of Poisson regression
        return lambda state, X: _two_classes(holder, _mlp_outputs(holder, state, X))
    if isinstance(holder, LinearClassifierMixin | LinearModel | SGDRegressor):
        return lambda state, X: _two_classes(holder, _linear_outputs(state, X))
    raise TypeError(
        f"method='learned' can't differentiate {holder}; it knows linear classifiers and "
        "regressors, MLPClassifier, MLPRegressor, and minimalml's network estimators."
    )


def _linear_outputs(state, X):
    coef = state["coef_"].reshape(-1, X.shape[1])
    return X @ coef.T + state["intercept_"].reshape(-1)


def _mlp_outputs(holder, state, X):
    activate = ACTIVATIONS[holder.activation]
    for layer in range(holder.n_layers_ - 1):
        X = X if layer == 0 else activate(X)
        X = X @ state[f"coefs_.{layer}"] + state[f"intercepts_.{layer}"]
    return X


def _two_classes(holder, outputs):
    """Put zeros before the single score of a binary classifier."""
    if outputs.shape[1] == 1 and hasattr(holder, "classes_"):
        return torch.cat([torch.zeros_like(outputs), outputs], 1)
    return outputs


def _targets(holder, y):
    """Return numbers of classes, or targets as the outputs stand for them, (n, n_outputs)."""
    if hasattr(holder, "classes_"):
        return encode_labels(y, holder.classes_)
    y = np.reshape(y, (len(y), -1)).astype(np.float32)
    if isinstance(holder, NetworkRegressor):
        y = ((y - holder.target_mean_) / holder.target_scale_).astype(np.float32)
    return y


def _batches(n_rows, seed, device):
    """Return what indexes the rows of each step."""
    if n_rows <= WHOLE_ROWS:
        return [slice(None)] * N_STEPS
    generator = torch.Generator().manual_seed(seed)
    batches = torch.randint(n_rows, (N_STEPS, BATCH_ROWS), generator=generator)
    return batches.to(device)
