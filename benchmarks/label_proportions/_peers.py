"""What learns from shares without finding labels: losses of one network, and pairs."""

import numpy as np
from scipy.special import expit

from minimalml._core.groups import GroupIndex


def network_scores(loss, X, targets, bags, X_test, epochs, seed, sizes=(128, 64)):
    """Train a network by ``loss`` and return its test scores after each of ``epochs``.

    ``loss`` is "shares" (DLLP: log loss of a bag's mean probability), "unbiased"
    (EasyLLP), or "rows" (log loss of each row against ``targets``, shares or labels).
    Batches of whole bags of about 256 rows, Adam at 1e-3.
    """
    import torch
    from torch.nn.functional import (
        binary_cross_entropy,
    )
    from torch.nn.functional import (
        binary_cross_entropy_with_logits as log_loss,
    )

    from minimalml._core.training.modules import MLP

    torch.manual_seed(seed)
    index = GroupIndex(bags, len(X))
    order = np.random.default_rng(seed)
    rows, y = torch.tensor(X, dtype=torch.float32), torch.tensor(targets).float()
    mean_share = y.mean()
    network = MLP(X.shape[1], sizes, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    batch_bags = max(1, 256 * len(index) // len(X))
    scores = {}

    def batch_loss(numbers):
        places, offsets = index.rows(numbers)
        log_odds, target = network(rows[places])[:, 0], y[places]
        if loss == "rows":
            return log_loss(log_odds, target)
        bag_sizes = torch.tensor(np.diff(offsets))
        if loss == "unbiased":
            weight = bag_sizes.repeat_interleave(bag_sizes) * (target - mean_share)
            weight = weight + mean_share
            positive, negative = -log_odds.sigmoid().log(), -(-log_odds).sigmoid().log()
            return (weight * positive + (1 - weight) * negative).mean()
        shares = torch.segment_reduce(log_odds.sigmoid(), "mean", lengths=bag_sizes)
        share = target[torch.tensor(offsets[:-1])]
        losses = binary_cross_entropy(shares.clamp(1e-6, 1 - 1e-6), share, reduction="none")  # fmt: skip
        return (losses * bag_sizes).sum() / bag_sizes.sum()

    for epoch in range(1, max(epochs) + 1):
        numbers = order.permutation(len(index))
        for start in range(0, len(index), batch_bags):
            optimizer.zero_grad()
            batch_loss(numbers[start : start + batch_bags]).backward()
            optimizer.step()
        if epoch in epochs:
            with torch.no_grad():
                test = network(torch.tensor(X_test, dtype=torch.float32))
            scores[epoch] = test[:, 0].numpy()
    return scores


def pair_beliefs(similarity, shares, bag_size, couplings, strength, n_steps=100):
    """Beliefs of the paper's factor graph: all pairs of a bag instead of its count.

    Rows stand bag by bag, and all bags have ``bag_size``. Damping is .5.
    """
    from scipy.sparse import triu

    upper = triu(similarity, k=1, format="coo")
    (i, j), J = upper.coords, couplings * upper.data
    n = similarity.shape[0]
    prior = strength * (2 * shares * bag_size - 1)
    along = np.zeros((2, len(i)))  # to i and to j
    inside = np.zeros((n // bag_size, bag_size, bag_size))  # from, to
    off_diagonal = 1 - np.eye(bag_size)
    log_odds = prior.copy()
    for _ in range(n_steps):
        u = np.stack([log_odds[j] - along[1], log_odds[i] - along[0]]).clip(-50, 50)
        new = np.logaddexp(u, -J) - np.logaddexp(u - J, 0)
        told = log_odds.reshape(-1, bag_size, 1) - inside.swapaxes(1, 2)
        told = told.clip(-50, 50)
        new_inside = np.logaddexp(0, told - 2 * strength) - np.logaddexp(0, told)
        along = 0.5 * along + 0.5 * new
        inside = 0.5 * inside + 0.5 * new_inside * off_diagonal
        log_odds = prior + inside.sum(1).ravel()
        np.add.at(log_odds, i, along[0])
        np.add.at(log_odds, j, along[1])
    return expit(log_odds)
