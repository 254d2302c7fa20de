"""Rows from families of sources that each have a rule of their own: data for experts."""

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.validation import Integral, Interval, validate_params

POSITIVE = Interval(Integral, 1, None, closed="left")
# Where sources lie, how variants of a family differ, and how far rows are from them.
FAMILY_SPREAD, VARIANT_SPREAD, ROW_SPREAD = 2.0, 0.7, 0.5
# What a variant's own rule counts for beside its family's.
VARIANT_RULE = 0.3


@validate_params(
    {
        "n_samples": [POSITIVE],
        "n_families": [POSITIVE],
        "n_variants": [POSITIVE],
        "n_features": [POSITIVE],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_expert_families(
    n_samples=3000,
    *,
    n_families=4,
    n_variants=3,
    n_features=8,
    n_classes=5,
    random_state=None,
):
    """Generate rows of several sources, whose rules are alike within families.

    A row is a context, which tells its source, and a signal: the class is the largest
    output of the source's linear rule on the signal. Some sources are rare. A mixture of
    experts learns the rules; its experts for one family can be merged.

    Parameters
    ----------
    n_samples : int, default=3000
        Number of rows.

    n_families : int, default=4
        Families of sources.

    n_variants : int, default=3
        Sources of each family.

    n_features : int, default=8
        Columns of the context, and of the signal.

    n_classes : int, default=5
        Number of classes, at least 2.

    random_state : int, RandomState instance or None, default=None
        Makes the data repeatable.

    Returns
    -------
    X : ndarray of shape (n_samples, 2 * n_features)
        Contexts, then signals.

    y : ndarray of int of shape (n_samples,)
        Classes.

    Notes
    -----
    Centres of families are ``2 N(0, I)``, those of variants around them ``0.7 N(0, I)``,
    contexts around these ``0.5 N(0, I)``, signals ``N(0, I)``. The rule is
    ``W_family + 0.3 W_variant`` with standard normal entries. The source of rank r has a
    probability in proportion to 1 / r.

    Examples
    --------
    >>> from minimalml.datasets import make_expert_families
    >>> X, y = make_expert_families(100, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((100, 16), [0, 1, 2, 3, 4])
    """
    rng = check_random_state(random_state)
    n_sources = n_families * n_variants
    family = np.repeat(np.arange(n_families), n_variants)
    families = FAMILY_SPREAD * rng.standard_normal((n_families, n_features))
    variants = VARIANT_SPREAD * rng.standard_normal((n_sources, n_features))
    centres = families[family] + variants
    rules = rng.standard_normal((n_families, n_features, n_classes))
    own_rules = rng.standard_normal((n_sources, n_features, n_classes))
    rules = rules[family] + VARIANT_RULE * own_rules
    shares = 1 / rng.permutation(np.arange(1, n_sources + 1))
    source = rng.choice(n_sources, size=n_samples, p=shares / shares.sum())
    noise = ROW_SPREAD * rng.standard_normal((n_samples, n_features))
    signal = rng.standard_normal((n_samples, n_features))
    y = np.empty(n_samples, dtype=np.intp)
    for one in np.unique(source):
        rows = source == one
        y[rows] = (signal[rows] @ rules[one]).argmax(axis=1)
    return np.hstack([centres[source] + noise, signal]), y
