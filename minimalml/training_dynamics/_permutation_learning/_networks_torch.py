"""Finite networks trained on k unit vectors, many at once by batched products."""

import numpy as np
import torch

from minimalml._core.arrays import resolve_device

# Hidden activations that are held at a time.
CHUNK = 2**22


def train_networks(
    permutation, n_networks, width, max_epochs, learning_rate, seed, device
):
    """Return weights (n, width, k) and (n, k, width), and the mean error of outputs.

    Full-batch descent on half the sum of squared errors. Network i starts from its own
    stream of NumPy's, so that it is the same in a larger ensemble and on any device.
    """
    k, device = len(permutation), resolve_device(device)
    targets = torch.zeros(k, k, device=device)  # output by input
    targets[torch.as_tensor(permutation, device=device), torch.arange(k)] = 1.0
    trained = []
    n_chunk = max(1, CHUNK // (width * k))
    for start in range(0, n_networks, n_chunk):
        seeds = [[seed, i] for i in range(start, min(start + n_chunk, n_networks))]
        noise = [np.random.default_rng(s).standard_normal((2, width, k)) for s in seeds]
        weights = torch.as_tensor(np.float32(noise)).to(device)
        U, V = weights[:, 0].contiguous(), weights[:, 1].mT.contiguous()
        trained.append((U, V, _descend(U, V, targets, max_epochs, learning_rate)))
    hidden, output, errors = map(torch.cat, zip(*trained, strict=True))
    return (hidden.cpu().numpy(), output.cpu().numpy()), errors.mean().item()


def _descend(U, V, targets, max_epochs, learning_rate):
    """Train in place, and return each network's mean error.

    A unit vector picks a column of U: activations of all inputs are relu(U).
    """
    input_scale, output_scale = U.shape[2] ** -0.5, U.shape[1] ** -0.5
    for _ in range(max_epochs):
        activations = U.relu().mul_(input_scale)
        errors = torch.baddbmm(targets, V, activations, beta=-1, alpha=output_scale)
        into_hidden = V.mT @ errors
        into_hidden.masked_fill_(U <= 0, 0.0)
        step = learning_rate * output_scale
        V.baddbmm_(errors, activations.mT, alpha=-step)
        U.add_(into_hidden, alpha=-step * input_scale)
    activations = U.relu().mul_(input_scale)
    errors = torch.baddbmm(targets, V, activations, beta=-1, alpha=output_scale)
    return errors.abs().mean((1, 2))


def outputs_of_networks(weights, Z, device):
    """Return the outputs (n_rows, k) of rows, added up over the networks."""
    hidden, output = weights
    (n_networks, width, k), n_rows = hidden.shape, len(Z)
    device = resolve_device(device)
    inputs = torch.as_tensor(Z, dtype=torch.float32).to(device).T
    total = torch.zeros(k, n_rows, device=device)
    n_chunk = max(1, CHUNK // (width * n_rows))
    for start in range(0, n_networks, n_chunk):
        U = torch.as_tensor(hidden[start : start + n_chunk]).to(device).flatten(0, 1)
        V = torch.as_tensor(output[start : start + n_chunk]).to(device)
        total += V.transpose(0, 1).flatten(1) @ (U @ inputs).relu_()
    return (total.T * (k * width) ** -0.5).cpu().numpy().astype(np.float64)
