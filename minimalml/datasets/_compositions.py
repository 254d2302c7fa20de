"""Rows made of an attribute and an object, with an effect of the two together."""

import numpy as np
from sklearn.utils import Bunch, check_random_state

from minimalml._core.validation import Integral, Interval, Real, validate_params


@validate_params(
    {
        "n_attributes": [Interval(Integral, 2, None, closed="left")],
        "n_objects": [Interval(Integral, 2, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_per_pair": [Interval(Integral, 1, None, closed="left")],
        "context": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "seen_fraction": [Interval(Real, 0, 1, closed="neither")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_compositions(
    n_attributes=10,
    n_objects=14,
    n_features=64,
    n_per_pair=10,
    *,
    context=1.5,
    noise=1.2,
    seen_fraction=0.4,
    embedding_dim=16,
    random_state=None,
):
    """Generate rows of (attribute, object) pairs, some of which training never shows.

    A row is the sum of its attribute's part, its object's part, a part that depends on
    both (the context: "sliced" looks different on an apple and on bread) and noise.
    Objects come in groups of two that resemble each other.

    Parameters
    ----------
    n_attributes : int, default=10
        Number of attributes, at least 2.

    n_objects : int, default=14
        Number of objects, at least 2.

    n_features : int, default=64
        Number of features.

    n_per_pair : int, default=10
        Rows of each pair, in the training and in the test set alike.

    context : float, default=1.5
        Size of the joint effect of attribute and object; with 0 the parts add up.

    noise : float, default=1.2
        Standard deviation of the noise.

    seen_fraction : float, default=0.4
        Share of pairs that training shows; more are added until every attribute and
        every object is seen. Half of the rest are in the test set as unseen pairs.

    embedding_dim : int, default=16
        Length of the vectors that describe attributes and objects.

    random_state : int, RandomState instance or None, default=None
        Seed of everything that is drawn.

    Returns
    -------
    Bunch
        - ``X_train`` (n_train, n_features), ``y_train`` (n_train, 2): attribute and
          object index of each row, seen pairs only.
        - ``X_test``, ``y_test``: new rows of the seen and of the unseen pairs.
        - ``seen_pairs`` (n_seen, 2), ``unseen_pairs`` (n_unseen, 2).
        - ``attribute_embeddings`` (n_attributes, embedding_dim),
          ``object_embeddings`` (n_objects, embedding_dim).

    Examples
    --------
    >>> from minimalml.datasets import make_compositions
    >>> data = make_compositions(4, 5, n_features=8, random_state=0)
    >>> data.X_train.shape, len(data.seen_pairs), len(data.unseen_pairs)
    ((90, 8), 9, 5)
    """
    rng = check_random_state(random_state)
    attributes = rng.standard_normal((n_attributes, embedding_dim))
    groups = rng.standard_normal(((n_objects + 1) // 2, embedding_dim))
    objects = groups[np.arange(n_objects) // 2]
    objects = objects + 0.5 * rng.standard_normal((n_objects, embedding_dim))

    def map_of(*shape):
        return rng.standard_normal((*shape, n_features)) / np.sqrt(np.prod(shape))

    attribute_map, object_map = map_of(embedding_dim), map_of(embedding_dim)
    joint_map = map_of(embedding_dim, embedding_dim)

    def rows_of(pairs):
        y = np.repeat(pairs, n_per_pair, axis=0)
        a, o = attributes[pairs[:, 0]], objects[pairs[:, 1]]
        means = a @ attribute_map + o @ object_map
        means += context * np.einsum("pi,pj,ijf->pf", a, o, joint_map, optimize=True)
        X = np.repeat(means, n_per_pair, axis=0)
        return X + noise * rng.standard_normal(X.shape), y

    pairs = np.stack(np.divmod(np.arange(n_attributes * n_objects), n_objects), axis=1)
    seen, rest = _split_pairs(rng.permutation(pairs), seen_fraction)
    unseen = rest[: len(rest) // 2]
    X_train, y_train = rows_of(seen)
    X_test, y_test = rows_of(np.concatenate([seen, unseen]))
    return Bunch(
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        seen_pairs=seen,
        unseen_pairs=unseen,
        attribute_embeddings=attributes,
        object_embeddings=objects,
    )


def _split_pairs(pairs, seen_fraction):
    """Take the first share of the pairs, and later ones that bring in a primitive."""
    is_seen = np.arange(len(pairs)) < round(seen_fraction * len(pairs))
    for row in np.flatnonzero(~is_seen):
        if not (pairs[is_seen] == pairs[row]).any(axis=0).all():
            is_seen[row] = True
    return pairs[is_seen], pairs[~is_seen]
