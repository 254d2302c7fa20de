"""Labels that are (attribute, object) pairs, and the pairs that may be answered."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets


@dataclass(frozen=True)
class PairLabels:
    """The labels of a training set, coded.

    Attributes
    ----------
    attributes, objects : ndarray of shape (A,), (O,)
        Sorted labels of either kind.
    codes : ndarray of int of shape (n, 2)
        Each row's attribute and object, as positions in the two.
    seen_pairs : ndarray of int of shape (P_seen, 2)
        Distinct rows of ``codes``, sorted.
    pair_index : ndarray of int of shape (n,)
        Each row's position in ``seen_pairs``.
    is_single : bool
        Whether y had one column: objects only, under one constant attribute.
    """

    attributes: np.ndarray
    objects: np.ndarray
    codes: np.ndarray
    seen_pairs: np.ndarray
    pair_index: np.ndarray
    is_single: bool

    @classmethod
    def read(cls, y):
        """Code y of shape (n, 2), or (n,) for objects alone."""
        attribute, objects, is_single = split_columns(y)
        attributes, attribute_codes = np.unique(attribute, return_inverse=True)
        objects, object_codes = np.unique(objects, return_inverse=True)
        codes = np.column_stack([attribute_codes, object_codes])
        return cls._of_codes(attributes, objects, codes, is_single)

    @classmethod
    def _of_codes(cls, attributes, objects, codes, is_single):
        seen_pairs, pair_index = np.unique(codes, axis=0, return_inverse=True)
        return cls(
            attributes, objects, codes, seen_pairs, pair_index.ravel(), is_single
        )

    def take(self, rows):
        """Return the labels of some rows, under the same codes."""
        return self._of_codes(
            self.attributes, self.objects, self.codes[rows], self.is_single
        )

    def extend(self, attributes, objects):
        """Return the same rows among more labels of either kind."""
        columns = []
        for old, new, code in zip(
            (self.attributes, self.objects),
            (attributes, objects),
            self.codes.T,
            strict=True,
        ):
            joined = np.unique(np.concatenate([old, np.array(sorted(new), old.dtype)]))
            columns.append((joined, np.searchsorted(joined, old[code])))
        (attributes, attribute_codes), (objects, object_codes) = columns
        codes = np.column_stack([attribute_codes, object_codes])
        return self._of_codes(attributes, objects, codes, self.is_single)

    def has_same_labels(self, other):
        """Whether the other rows have the same labels and pairs, under the same codes."""
        return all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("attributes", "objects", "seen_pairs")
        )

    def describe(self, pair):
        """Return a coded pair in the user's own labels."""
        return (self.attributes[pair[0]], self.objects[pair[1]])


def split_columns(y, name="y"):
    """Part labels into attribute and object columns; check that none is missing.

    Parameters
    ----------
    y : array-like of shape (n, 2) or (n,)
        Pairs of labels of any type; one column holds objects under one attribute, 0.

    name : str, default="y"
        What to call it in an error.

    Returns
    -------
    attribute, object : ndarray of shape (n,)
        The two columns, each with its own dtype where y had column dtypes.
    is_single : bool
        Whether y had one column.
    """
    if hasattr(y, "iloc") and np.ndim(y) == 2:  # a data frame: a dtype each column
        columns = [y.iloc[:, j].to_numpy() for j in range(y.shape[1])]
    else:
        y = _as_labels(y) if isinstance(y, list | tuple) else np.asarray(y)
        if y.ndim <= 1 or y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)
            columns = [np.zeros(len(y), dtype=np.intp), y]
            check_classification_targets(y)
        elif y.ndim > 2:
            raise ValueError(f"{name} must have 1 or 2 columns, got shape {y.shape}.")
        else:
            columns = list(y.T)
    if len(columns) != 2:
        raise ValueError(
            f"{name} must have 2 columns (attribute and object), or 1, got "
            f"{len(columns)}."
        )
    return (*(_check_labels(column, name) for column in columns), np.ndim(y) != 2)


def candidate_codes(labels, candidate_pairs, unseen_pairs, more_codes=None):
    """List the pairs that may be answered, seen ones first.

    Parameters
    ----------
    labels : PairLabels
        The training labels.

    candidate_pairs : None, "all" or array-like of shape (P, 2)
        None: the seen pairs and ``unseen_pairs``. "all": each attribute with each
        object (open world). An array: just these.

    unseen_pairs : None or array-like of shape (P_unseen, 2)
        Pairs of known labels that training does not show.

    more_codes : None or ndarray of int of shape (P_more, 2)
        Coded pairs that are candidates in any case.

    Returns
    -------
    pairs : ndarray of int of shape (P, 2)
        Codes of the candidates.
    seen_mask : ndarray of bool of shape (P,)
        Which of them training shows.
    """
    seen = labels.seen_pairs
    if isinstance(candidate_pairs, str):
        n_objects = len(labels.objects)
        every = np.arange(len(labels.attributes) * n_objects)
        pairs = np.stack(np.divmod(every, n_objects), axis=1)
    elif candidate_pairs is not None:
        pairs = encode_pairs(labels, candidate_pairs, "candidate_pairs")
    else:
        pairs = seen
    if unseen_pairs is not None:
        extra = encode_pairs(labels, unseen_pairs, "unseen_pairs")
        overlap = is_among(extra, seen)
        if overlap.any():
            example = labels.describe(extra[overlap.argmax()])
            warnings.warn(
                f"{overlap.sum()} of unseen_pairs are seen in training, {example} for "
                "one: they are treated as seen.",
                UserWarning,
                stacklevel=3,
            )
        pairs = np.concatenate([pairs, extra])
    if more_codes is not None:
        pairs = np.concatenate([pairs, more_codes])
    pairs = np.unique(pairs, axis=0)
    seen_mask = is_among(pairs, seen)
    order = np.argsort(~seen_mask, kind="stable")
    return pairs[order], seen_mask[order]


def encode_pairs(labels, pairs, name):
    """Code pairs of labels; a label that training does not show is an error."""
    attribute, objects, is_single = split_columns(pairs, name)
    if is_single:
        raise ValueError(f"{name} must have 2 columns (attribute and object).")
    columns = []
    for kind, values, known in (
        ("attribute", attribute, labels.attributes),
        ("object", objects, labels.objects),
    ):
        unknown = sorted(set(values.tolist()) - set(known.tolist()))
        if unknown:
            raise ValueError(
                f"{name} uses the {kind} {unknown[0]!r}, which does not occur in "
                "training: only new pairs of known labels can be recognised, unless "
                "attribute_embeddings and object_embeddings describe the new labels."
            )
        columns.append(np.searchsorted(known, values))
    return np.column_stack(columns)


def pair_positions(codes, pairs):
    """Return each coded row's position among the candidate pairs, -1 for none."""
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
        if any(value is None or value != value for value in column):
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
