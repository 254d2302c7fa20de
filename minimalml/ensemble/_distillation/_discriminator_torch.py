"""The discriminator of students and teachers, and the reversed gradient into the student."""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from minimalml._core.arrays import resolve_device
from minimalml._core.torch_random import isolated_noise

# The official script's, of Adam.
LEARNING_RATE = 1e-4


def make_discriminator(n_classes):
    """Return a network from logits to two outputs, student and teachers."""
    divisors = (8, 64) if n_classes >= 100 else (2, 4)
    first, second = (max(2, n_classes // divisor) for divisor in divisors)
    return nn.Sequential(
        nn.Linear(n_classes, first), nn.ReLU(),
        nn.Linear(first, second), nn.ReLU(),
        nn.Linear(second, 2),
    )  # fmt: skip


def seeded_discriminator(module, n_classes, options, seed):
    """Return what gives a discriminator's losses, and the optimisers of it and module."""
    device, dtype = resolve_device(options["device"]), getattr(torch, options["dtype"])
    with isolated_noise(device, seed):
        discriminator = make_discriminator(n_classes).to(device, dtype)
    return partial(discriminator_losses, discriminator), [
        {"parameters": list(module.to(device, dtype).parameters())},
        {"parameters": list(discriminator.parameters()), "optimizer": "adam",
         "learning_rate": LEARNING_RATE, "weight_decay": 0.0},
    ]  # fmt: skip


def discriminator_losses(discriminator, student_logits, teacher_logits):
    """Return the loss of each row, which the discriminator lowers and the student raises."""
    n_rows = len(student_logits)
    # the same numbers, whose gradient has the other sign
    reversed_logits = 2 * student_logits.detach() - student_logits
    logits = torch.cat([reversed_logits, teacher_logits.detach()])
    labels = torch.eye(2, dtype=logits.dtype, device=logits.device)
    labels = labels.repeat_interleave(n_rows, dim=0)  # (2 n_rows, 2)
    losses = binary_cross_entropy_with_logits(
        discriminator(logits), labels, reduction="none"
    )
    return losses.mean(1).reshape(2, n_rows).mean(0)
