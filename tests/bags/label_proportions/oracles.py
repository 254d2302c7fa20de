"""Slow and plain: laws of counts, marginals by enumeration, belief propagation in loops."""

from itertools import product

import numpy as np
from scipy.special import expit, logsumexp


def law_of_count(odds):
    """Log-probabilities of the number of positive rows, added one row at a time."""
    law = np.zeros(1)
    for x in odds:
        no, yes = law - np.logaddexp(0, x), law - np.logaddexp(0, -x)
        law = np.logaddexp(np.append(no, -np.inf), np.append(-np.inf, yes))
    return law


def bag_messages(odds, count, strength):
    """Log-odds that the count asks each row for, given those of the others."""
    messages = []
    for row in range(len(odds)):
        law = law_of_count(np.delete(odds, row))
        s = np.arange(len(odds))
        if np.isinf(strength):
            count = int(count)
            messages.append(law[count - 1] - law[count])
        else:
            with_row = logsumexp(law - strength * (s + 1 - count) ** 2)
            messages.append(with_row - logsumexp(law - strength * (s - count) ** 2))
    return np.array(messages)


def enumerated_marginals(similarity, counts, bags, prior, couplings, strength):
    """Probabilities of rows by going through all labellings."""
    labels = np.array(list(product([0, 1], repeat=len(prior))))
    differs = labels[:, :, None] != labels[:, None, :]
    energy = labels @ prior
    energy = energy - couplings * (np.triu(similarity, 1) * differs).sum((1, 2))
    if strength > 0:
        for bag, count in enumerate(counts):
            misses = labels[:, bags == bag].sum(1) - count
            price = np.where(misses == 0, 0, np.inf)
            if np.isfinite(strength):
                price = strength * misses**2
            energy = energy - price
    weights = np.exp(energy - energy.max())
    return weights @ labels / weights.sum()


def flooded(similarity, counts, bags, prior, couplings, strength, damping, n_steps):
    """Belief propagation in plain loops over dense messages; no pure bags."""
    n = len(prior)
    J, sent = couplings * similarity, np.zeros((n, n))  # sent[i, j] from i to j
    told, log_odds = np.zeros(n), prior.copy()
    for _ in range(n_steps):
        new = np.zeros((n, n))
        for i, j in zip(*np.nonzero(similarity), strict=True):
            u = np.clip(log_odds[i] - sent[j, i], -50, 50)
            new[i, j] = 2 * np.arctanh(np.tanh(u / 2) * np.tanh(J[i, j] / 2))
        new_told = np.zeros(n)
        for bag, count in enumerate(counts):
            rows = np.flatnonzero(bags == bag)
            odds = np.clip(log_odds[rows] - told[rows], -50, 50)
            new_told[rows] = bag_messages(odds, count, strength)
        change = max(np.abs(new - sent).max(), np.abs(new_told - told).max())
        sent = damping * sent + (1 - damping) * new
        told = damping * told + (1 - damping) * new_told
        log_odds = prior + told + sent.sum(0)
    return log_odds, expit(log_odds), change
