"""Tables of groups with a level of their own, of which some may be bad."""

import numpy as np

COEF = np.array([1.0, -2.0, 0.5, 1.5])


def grouped_table(n_groups, group_size, bad_share, seed, factor=8):
    """Draw groups; the level and noise of some are ``factor`` times those of others.

    Levels and noise of good groups have unit variance.
    """
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), group_size)
    X = rng.normal(size=(len(groups), len(COEF)))
    noise = rng.normal(size=n_groups)[groups] + rng.normal(size=len(groups))
    is_bad = rng.random(n_groups) < bad_share
    return X, X @ COEF + np.where(is_bad, factor, 1)[groups] * noise, groups
