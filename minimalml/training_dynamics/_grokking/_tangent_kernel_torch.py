"""Gradients of a network for each row, and their products."""

import torch
from torch.func import functional_call, jacrev, vmap

from minimalml._core.training.inference import evaluation_mode


def tangent_kernel(module, weights, X, X2=None, *, chunk_numbers):
    """Return the kernel over ``weights``, the detached parameters by name.

    At most ``chunk_numbers`` of gradients are held at once, or those of one row twice.
    """

    def outputs(weights, x):
        return functional_call(module, weights, (x[None],)).reshape(-1)

    jacobian = vmap(jacrev(outputs), in_dims=(None, 0))

    def gradients(rows):
        return [part.flatten(1) for part in jacobian(weights, rows).values()]

    def products(left, right):
        return sum(a @ b.mT for a, b in zip(left, right, strict=True))

    with evaluation_mode(module):
        with torch.no_grad():
            n_outputs = module(X[:1]).numel()
        n_numbers = n_outputs * sum(w.numel() for w in weights.values())
        chunk_rows = max(1, chunk_numbers // (2 * n_numbers))
        others = (X if X2 is None else X2).split(chunk_rows)
        bands = []
        for number, rows in enumerate(X.split(chunk_rows)):
            left = gradients(rows)
            # of a symmetric kernel what is left of the diagonal is there already
            known = [band[number].mT for band in bands] if X2 is None else []
            new = [
                products(left, left if X2 is None and k == number else gradients(part))
                for k, part in enumerate(others)
                if k >= len(known)
            ]
            bands.append(known + new)
        return torch.cat([torch.cat(band, dim=1) for band in bands])
