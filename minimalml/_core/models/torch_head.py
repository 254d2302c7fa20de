"""The affine last layer of a torch module, and the features that it acts on."""

from dataclasses import dataclass

import numpy as np

from minimalml._core.array_checks import as_tensor
from minimalml._core.arrays import import_torch
from minimalml._core.models.affine_steps import AffineMap

# float32 networks reorder sums between one call and the next, and half precision has
# fewer digits than that
NETWORK_TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 1e-2, "bfloat16": 0.1}


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
    def read(cls, module, classes, sample, before, input_shape):
        """Find the head of ``module`` by running it on ``sample``."""
        import_torch("linear_head")
        if sample is None:
            raise ValueError("sample must hold a few inputs to read a torch module.")
        probe = cls(module, None, None, input_shape, None)
        if before is not None:
            before = AffineMap(
                probe.prepare(before.scale), probe.prepare(before.offset)
            )
        probe = cls(module, None, before, input_shape, None)
        layer = probe._find_layer(probe.prepare(sample))
        n_classes = max(layer.out_features, 2)
        classes = np.arange(n_classes) if classes is None else np.asarray(classes)
        return cls(module, layer, before, input_shape, classes)

    @property
    def weight(self):
        """Rows of the head, a detached tensor of shape (n_classes, n_head_features)."""
        return _two_classes(self.layer.weight.detach(), 0)

    @property
    def bias(self):
        """Offsets of the head, a detached tensor of shape (n_classes,)."""
        bias = self.layer.bias
        if bias is None:
            bias = self.layer.weight.new_zeros(self.layer.out_features)
        return _two_classes(bias.detach(), 0)

    def prepare(self, values):
        """Return numbers as the head takes them: a tensor on its device.

        Half precision is computed with in float32, which has the digits of small steps.
        """
        import torch

        parameter = next(self.module.parameters(), torch.empty(0))
        dtype = torch.promote_types(parameter.dtype, torch.float32)
        return as_tensor(values, dtype=dtype, device=parameter.device)

    def prepare_classes(self, classes):
        """Return class indices as a tensor on the head's device."""
        return as_tensor(classes, device=self.layer.weight.device)

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

    def _run(self, X):
        logits, called = self._call(X, [self.layer])
        if not called:
            raise TypeError("The head is a layer that the module no longer calls.")
        return _two_classes(logits, 1).to(X.dtype), called[-1][1].to(X.dtype)

    def _call(self, X, layers):
        """Return the module's output, and layers with their inputs as they are called."""
        import torch

        from minimalml._core.training.inference import evaluation_mode

        called = []
        hooks = [
            layer.register_forward_pre_hook(lambda *call: called.append(call))
            for layer in layers
        ]
        parameter = next(self.module.parameters(), X)
        X = X if self.before is None else self.before(X)
        X = X if self.input_shape is None else X.reshape(-1, *self.input_shape)
        try:
            with (
                evaluation_mode(self.module),
                torch.set_grad_enabled(X.requires_grad),
            ):
                logits = self.module(X.to(parameter.dtype))
        finally:
            for hook in hooks:
                hook.remove()
        return logits, [(layer, inputs[0]) for layer, inputs in called]

    def _find_layer(self, X):
        """Return the linear layer, the last one called, whose output is the module's."""
        import torch

        name = type(self.module).__name__
        linear = [m for m in self.module.modules() if isinstance(m, torch.nn.Linear)]
        logits, called = self._call(X, linear)
        if not called:
            raise TypeError(
                f"{name} calls no torch.nn.Linear layer: its scores have no linear head."
            )
        room = NETWORK_TOLERANCE.get(str(logits.dtype).removeprefix("torch."), 1e-4)
        for layer, features in reversed(called):
            if features.ndim == 2 and logits.shape == (len(X), layer.out_features):
                with torch.no_grad():
                    ours = torch.nn.functional.linear(
                        features, layer.weight, layer.bias
                    )
                largest = float(logits.abs().max())
                if torch.allclose(ours, logits, rtol=room, atol=room * largest):
                    return layer
        raise TypeError(
            f"The output of {name} is not that of a linear layer: the module must return "
            "logits, not probabilities."
        )


def _two_classes(scores, axis):
    """Put zeros before the single score of a binary classifier."""
    import torch

    if scores.shape[axis] != 1:
        return scores
    return torch.cat([torch.zeros_like(scores), scores], dim=axis)
