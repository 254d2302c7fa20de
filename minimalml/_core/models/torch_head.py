"""The affine last layer of a torch module, and the features that it acts on."""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from minimalml._core.arrays import import_torch
from minimalml._core.models.affine_steps import AffineMap

# float32 networks reorder sums between one call and the next
NETWORK_TOLERANCE = 1e-4


@contextmanager
def evaluating(module):
    """Put a torch module in evaluation mode for a while, parts restored one by one."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield module
    finally:
        for part, mode in modes.items():
            part.training = mode


@dataclass(frozen=True)
class TorchHead:
    """A torch module that ends in an ``nn.Linear``; tensors in, tensors out.

    Attributes
    ----------
    module : torch.nn.Module
        The network, run in evaluation mode.
    layer : torch.nn.Linear
        The head.
    before : AffineMap of tensors or None
        What a pipeline does to the input first.
    input_shape : tuple of int or None
        Shape of one input of the module.
    classes : ndarray of shape (n_classes,)
        Labels, in the order of the scores.
    """

    module: object
    layer: object
    before: object
    input_shape: tuple
    classes: np.ndarray
    is_linear = False

    @classmethod
    def read(cls, module, classes, sample, before, name, input_shape):
        """Find the head of ``module`` by running it on ``sample``."""
        torch = import_torch("linear_head")
        if sample is None:
            raise ValueError("sample must hold a few inputs to read a torch module.")
        parameter = next(module.parameters())
        to_tensor = partial(
            torch.as_tensor, dtype=parameter.dtype, device=parameter.device
        )
        if before is not None:
            before = AffineMap(to_tensor(before.scale), to_tensor(before.offset))
        probe = cls(module, None, before, input_shape, None)
        X = to_tensor(np.ascontiguousarray(sample))
        layer = _named_linear(module, name) if name else probe._last_linear_called(X)
        n_classes = max(layer.out_features, 2)
        classes = np.arange(n_classes) if classes is None else np.asarray(classes)
        found = cls(module, layer, before, input_shape, classes)
        found._check(X)
        return found

    @property
    def weight(self):
        """Rows of the head, a detached tensor of shape (n_classes, n_head_features)."""
        weight = self.layer.weight.detach()
        return _two_classes(weight, 0) if len(weight) == 1 else weight

    @property
    def bias(self):
        """Offsets of the head, a detached tensor of shape (n_classes,)."""
        bias = self.layer.bias
        bias = (
            self.layer.weight.new_zeros(self.layer.out_features)
            if bias is None
            else bias.detach()
        )
        return _two_classes(bias, 0) if len(bias) == 1 else bias

    @property
    def device(self):
        """Where the network is."""
        return self.layer.weight.device

    @property
    def dtype(self):
        """Floating type of the network."""
        return self.layer.weight.dtype

    def prepare(self, values):
        """Return numbers as the head takes them: a tensor on its device."""
        import torch

        return torch.as_tensor(values, dtype=self.dtype, device=self.device)

    def prepare_classes(self, classes):
        """Return class indices as a tensor on the head's device."""
        import torch

        return torch.as_tensor(classes, device=self.device)

    def to_numpy(self, values):
        """Return the head's numbers as an array."""
        return values.detach().cpu().numpy()

    def features(self, X):
        """Map inputs (n, n_features) to what the head acts on."""
        return self._run(X)[1]

    def logits(self, X):
        """Score inputs (n, n_features), shape (n, n_classes)."""
        return self._run(X)[0]

    def logits_and_pullback(self, X):
        """Score inputs and return the map from score gradients to input gradients."""
        import torch

        with torch.enable_grad():
            X = X.detach().requires_grad_(True)
            logits = self.logits(X)

        def pullback(cotangent):
            return torch.autograd.grad(logits, X, cotangent)[0]

        return logits.detach(), pullback

    def _forward(self, X):
        X = X if self.before is None else self.before(X)
        X = X if self.input_shape is None else X.reshape(-1, *self.input_shape)
        with evaluating(self.module):
            return self.module(X)

    def _run(self, X):
        caught = []
        hook = self.layer.register_forward_pre_hook(
            lambda layer, inputs: caught.append(inputs[0])
        )
        try:
            logits = self._forward(X)
        finally:
            hook.remove()
        if not caught:
            raise TypeError("head names a layer that the module does not call.")
        logits = _two_classes(logits, 1) if logits.shape[-1] == 1 else logits
        return logits, caught[-1]

    def _last_linear_called(self, X):
        import torch

        called = []
        hooks = [
            part.register_forward_hook(lambda layer, *_: called.append(layer))
            for part in self.module.modules()
            if isinstance(part, torch.nn.Linear)
        ]
        try:
            with torch.no_grad():
                self._forward(X)
        finally:
            for hook in hooks:
                hook.remove()
        if not called:
            raise TypeError(
                f"{type(self.module).__name__} calls no torch.nn.Linear layer: its "
                "scores have no linear head."
            )
        return called[-1]

    def _check(self, X):
        import torch

        with torch.no_grad():
            logits, features = self._run(X)
        if features.ndim == 2 and logits.shape == (len(X), len(self.weight)):
            ours = features @ self.weight.T + self.bias
            room = NETWORK_TOLERANCE * logits.abs().max().item()
            if torch.allclose(ours, logits, rtol=NETWORK_TOLERANCE, atol=room):
                return
        raise TypeError(
            f"The output of {type(self.module).__name__} is not that of its linear "
            "layer: the module must return logits (not probabilities), or head must "
            "name the layer that makes them."
        )


def _two_classes(scores, axis):
    import torch

    return torch.cat([torch.zeros_like(scores), scores], dim=axis)


def _named_linear(module, name):
    import torch

    parts = dict(module.named_modules())
    if isinstance(parts.get(name), torch.nn.Linear):
        return parts[name]
    names = [n for n, part in parts.items() if isinstance(part, torch.nn.Linear)]
    raise ValueError(f"head must name an nn.Linear, one of {names}; got {name!r}.")
