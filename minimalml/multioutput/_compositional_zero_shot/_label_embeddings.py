"""Semantic vectors of labels: checked, ordered, and the new labels they allow."""

import warnings

import numpy as np
from sklearn.utils import check_array

from minimalml.multioutput._compositional_zero_shot._pairs import split_columns

KINDS = ("attribute", "object")


def read_label_embeddings(labels, embeddings, named_pairs):
    """Order label embeddings by code; take in labels that only embeddings describe.

    Parameters
    ----------
    labels : PairLabels
        The training labels.

    embeddings : pair of (array-like, dict or None)
        Of attributes and of objects, as the user gave them.

    named_pairs : list of array-like of shape (P, 2)
        Pairs that the user named as candidates.

    Returns
    -------
    labels : PairLabels
        The same, or with more labels.
    tables : tuple of ndarray of shape (A, w), (O, w), or None
        Vectors by code.
    """
    if all(isinstance(table, dict) for table in embeddings):
        labels = _with_described_labels(labels, embeddings, named_pairs)
    known = (labels.attributes, labels.objects)
    tables = tuple(
        _read_table(kind, table, values)
        for kind, table, values in zip(KINDS, embeddings, known, strict=True)
    )
    return labels, tables


def _with_described_labels(labels, embeddings, named_pairs):
    new = [set(), set()]
    for pairs in named_pairs:
        for column, values in enumerate(split_columns(pairs, "unseen_pairs")[:2]):
            known = (labels.attributes, labels.objects)[column].tolist()
            new[column] |= set(values.tolist()) - set(known)
        new = [names & set(t) for names, t in zip(new, embeddings, strict=True)]
    if not any(new):
        return labels
    listed = sorted(map(str, new[0] | new[1]))
    warnings.warn(
        f"the labels {listed} do not occur in training and are known by their "
        "embeddings only: expect less of them.",
        UserWarning,
        stacklevel=4,
    )
    return labels.extend(*new)


def _read_table(kind, table, values):
    if table is None:
        return None
    name = f"{kind}_embeddings"
    if isinstance(table, dict):
        missing = [value for value in values.tolist() if value not in table]
        if missing:
            raise ValueError(
                f"{name} has no vector for the {kind} {missing[0]!r}: give one for each "
                f"of the {len(values)} labels of y."
            )
        table = [table[value] for value in values.tolist()]
    table = check_array(table, dtype=np.float64, input_name=name)
    if len(table) != len(values):
        raise ValueError(
            f"{name} must have {len(values)} rows, one for each {kind} of y in sorted "
            f"order, got {len(table)}."
        )
    return table


def object_means(X, object_codes):
    """Return the mean row of each object, which stands for a semantic vector."""
    sums = np.zeros((object_codes.max() + 1, X.shape[1]))
    np.add.at(sums, object_codes, X)
    return sums / np.bincount(object_codes)[:, None]
