"""Labels that are (attribute, object) pairs, candidate pairs, and labels' vectors."""

import warnings

import numpy as np
from sklearn.utils import _safe_indexing, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

KINDS = ("attribute", "object")


class PairLabels:
    """The labels of a training set, coded.

    ``values`` are sorted attributes (A,) and objects (O,), ``codes`` (n, 2) positions in
    them; ``seen_pairs`` are its distinct rows, sorted, and ``pair_index`` each row's
    place among these. ``is_single``: y had one column, objects of one constant attribute.
    """

    def __init__(self, values, codes, is_single):
        self.values, self.codes, self.is_single = values, codes, is_single
        self.seen_pairs, index = np.unique(codes, axis=0, return_inverse=True)
        self.pair_index = index.ravel()

    @classmethod
    def read(cls, y):
        """Code y of shape (n, 2), or (n,) for objects alone."""
        columns, is_single = split_columns(y)
        values, codes = zip(
            *(np.unique(column, return_inverse=True) for column in columns), strict=True
        )
        return cls(values, np.column_stack(codes), is_single)

    def take(self, rows):
        """Return the labels of some rows, under the same codes."""
        return PairLabels(self.values, self.codes[rows], self.is_single)

    def describe(self, pair):
        """Return a coded pair in the user's own labels."""
        return tuple(v[code] for v, code in zip(self.values, pair, strict=True))

    def extend(self, new_values):
        """Return the same rows among more labels of either kind."""
        values, codes = [], []
        for old, new, code in zip(self.values, new_values, self.codes.T, strict=True):
            # the scalar type: a dtype of strings would cut longer ones
            added = np.array(sorted(new), old.dtype.type)
            joined = np.unique(np.concatenate([old, added]))
            values.append(joined)
            codes.append(np.searchsorted(joined, old[code]))
        return PairLabels(tuple(values), np.column_stack(codes), self.is_single)


def split_columns(y, name="y"):
    """Part labels (n, 2) or (n,) into two columns, attribute 0 for (n,), and say which."""
    is_frame = hasattr(y, "columns")
    if not is_frame:
        y = _as_labels(y) if isinstance(y, list | tuple) else np.asarray(y)
    if len(y.shape) <= 1 or y.shape[1:] == (1,):
        y = column_or_1d(y, warn=True)
        objects = _check_labels(y, name)
        check_classification_targets(objects)
        return (np.zeros(len(y), dtype=np.intp), objects), True
    if y.shape[1:] != (2,):
        raise ValueError(
            f"{name} must have 2 columns (attribute and object), or 1, got shape "
            f"{y.shape}."
        )
    columns = (
        np.asarray(_safe_indexing(y, column, axis=1)) if is_frame else y[:, column]
        for column in (0, 1)
    )
    return tuple(_check_labels(column, name) for column in columns), False


def _as_labels(y):
    """Make rows of mixed label types an object array, so that 1 stays 1."""
    is_nested = len(y) and isinstance(y[0], list | tuple)
    kinds = {type(value) for row in y for value in row} if is_nested else ()
    return np.array([list(row) for row in y], object) if len(kinds) > 1 else np.array(y)


def _check_labels(column, name):
    if column.dtype.kind == "f":
        check_array(column, ensure_2d=False, input_name=name)
        check_classification_targets(column)
    elif column.dtype.kind == "O":
        if any(_is_missing(value) for value in column):
            raise ValueError(f"{name} has a missing label; drop such rows.")
        if all(isinstance(value, (int, np.integer)) for value in column):
            return column.astype(np.intp)
        try:
            np.unique(column)
        except TypeError as error:
            raise ValueError(
                f"{name} mixes labels that can't be sorted in one column: {error}."
            ) from error
    return column


def _is_missing(value):
    # pandas' NA compares to itself as NA, which has no truth value
    return value is None or type(value).__name__ == "NAType" or value != value


def candidate_codes(labels, unseen_pairs, more_codes=()):
    """List the coded pairs that may be answered, the seen ones first; ``more_codes`` too."""
    seen = labels.seen_pairs
    if unseen_pairs is None or len(unseen_pairs) == 0:
        unseen = seen[:0]
    elif isinstance(unseen_pairs, str):
        unseen = np.argwhere(np.ones([len(values) for values in labels.values]))
    else:
        unseen = encode_pairs(labels.values, unseen_pairs, "unseen_pairs")
        overlap = unseen[is_among(unseen, seen)]
        if len(overlap):
            warnings.warn(
                f"{len(overlap)} of unseen_pairs are seen in training, "
                f"{labels.describe(overlap[0])} for one: they are treated as seen.",
                UserWarning,
                stacklevel=3,
            )
    if len(more_codes):
        unseen = np.concatenate([unseen, more_codes])
    unseen = np.unique(unseen, axis=0)
    return np.concatenate([seen, unseen[~is_among(unseen, seen)]])


def encode_pairs(values, pairs, name):
    """Code pairs of labels; a label that training does not show is an error."""
    columns, is_single = split_columns(pairs, name)
    if is_single:
        raise ValueError(f"{name} must have 2 columns (attribute and object).")
    for kind, column, known in zip(KINDS, columns, values, strict=True):
        unknown = sorted(set(column.tolist()) - set(known.tolist()))
        if unknown:
            raise ValueError(
                f"{name} uses the {kind} {unknown[0]!r}, which does not occur in "
                "training: only new pairs of known labels can be recognised, unless "
                "label_embeddings describe the new labels."
            )
    codes = (np.searchsorted(v, c) for v, c in zip(values, columns, strict=True))
    return np.column_stack(list(codes))


def pair_positions(codes, pairs):
    """Return each coded row's position among the pairs, -1 for none."""
    n_objects = 1 + max(codes[:, 1].max(initial=0), pairs[:, 1].max(initial=0))
    wanted, keys = (part @ (n_objects, 1) for part in (codes, pairs))
    if not len(keys):
        return np.full(len(wanted), -1, np.intp)
    order = np.argsort(keys)
    found = order[np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)]
    return np.where(keys[found] == wanted, found, -1)


def is_among(pairs, others):
    """Whether each coded pair is one of the others."""
    return pair_positions(pairs, others) >= 0


def read_label_embeddings(labels, label_embeddings, unseen_pairs):
    """Return the labels, with new ones that embeddings describe, and tables by code."""
    if label_embeddings is None:
        return labels, (None, None)
    if len(label_embeddings) != 2:
        raise ValueError(
            "label_embeddings must be a pair of tables, of the attributes and of the "
            f"objects, got {len(label_embeddings)}."
        )
    names_pairs = not isinstance(unseen_pairs, str | None) and len(unseen_pairs)
    if names_pairs and all(isinstance(table, dict) for table in label_embeddings):
        labels = _with_described_labels(labels, label_embeddings, unseen_pairs)
    tables = zip(KINDS, label_embeddings, labels.values, strict=True)
    return labels, tuple(_read_table(*table) for table in tables)


def _with_described_labels(labels, tables, unseen_pairs):
    columns, _ = split_columns(unseen_pairs, "unseen_pairs")
    new = [
        (set(column.tolist()) - set(known.tolist())) & set(table)
        for column, known, table in zip(columns, labels.values, tables, strict=True)
    ]
    if not any(new):
        return labels
    warnings.warn(
        f"the labels {sorted(map(str, new[0] | new[1]))} do not occur in training and "
        "are known by their embeddings only: expect less of them.",
        UserWarning,
        stacklevel=4,
    )
    return labels.extend(new)


def _read_table(kind, table, values):
    if table is None:
        return None
    name = f"label_embeddings of {kind}s"
    if isinstance(table, dict):
        missing = [value for value in values.tolist() if value not in table]
        if missing:
            raise ValueError(
                f"{name} have no vector for {missing[0]!r}: give one for each of the "
                f"{len(values)} labels of y."
            )
        table = [table[value] for value in values.tolist()]
    table = check_array(table, dtype=np.float64, input_name=name)
    if len(table) != len(values):
        raise ValueError(
            f"{name} must have {len(values)} rows, one for each {kind} of y in sorted "
            f"order, got {len(table)}."
        )
    return table
