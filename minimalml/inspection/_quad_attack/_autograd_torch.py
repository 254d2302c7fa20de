"""A loss whose gradient is known, as a torch autograd function."""

import torch


class WithGradient(torch.autograd.Function):
    """Apply a function that returns both the loss a row and its gradient."""

    @staticmethod
    def forward(ctx, logits, loss_and_gradient):
        """Compute both, keep the gradient."""
        loss, gradient = loss_and_gradient(logits.detach())
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx, cotangent):
        """Scale the gradient row by row."""
        (gradient,) = ctx.saved_tensors
        return cotangent[:, None] * gradient, None
