"""The discriminator of students and teachers, and the reversed gradient into the student."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

# The official script's, of Adam.
LEARNING_RATE = 1e-4


class ReversedGradient(torch.autograd.Function):
    """The identity whose gradient has the other sign."""

    @staticmethod
    def forward(context, values):
        """Return the same values."""
        return values.view_as(values)

    @staticmethod
    def backward(context, gradient):
        """Return the negative gradient."""
        return -gradient


def make_discriminator(n_classes):
    """Return a network from logits to two outputs, student and teachers."""
    divisors = (8, 64) if n_classes >= 100 else (2, 4)
    first, second = (max(2, n_classes // divisor) for divisor in divisors)
    return nn.Sequential(
        nn.Linear(n_classes, first), nn.ReLU(),
        nn.Linear(first, second), nn.ReLU(),
        nn.Linear(second, 2),
    )  # fmt: skip


def discriminator_losses(discriminator, student_logits, teacher_logits):
    """Return the loss of each row, which the discriminator lowers and the student raises."""
    n_rows = len(student_logits)
    logits = torch.cat(
        [ReversedGradient.apply(student_logits), teacher_logits.detach()]
    )
    labels = torch.eye(2, dtype=logits.dtype, device=logits.device)
    labels = labels.repeat_interleave(n_rows, dim=0)  # (2 n_rows, 2)
    losses = binary_cross_entropy_with_logits(
        discriminator(logits), labels, reduction="none"
    )
    return losses.mean(1).reshape(2, n_rows).mean(0)
