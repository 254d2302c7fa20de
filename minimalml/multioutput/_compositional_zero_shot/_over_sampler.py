"""Re-compose rows: the attribute of one row with the object of another.

O(B log n) for B samples and no loop over them: all draws are binary searches in
cumulative sums over rows that are grouped by pair.
"""

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch, check_array, check_random_state

from minimalml.multioutput._compositional_zero_shot._pairs import PairLabels


class ObjectSimilarityOverSampler:
    """Compose new training samples from the features of two different rows.

    For a seen pair (a, o) it names a row with object o and a row with attribute a on a
    similar object: the features of the first row's object and of the second row's
    attribute together stand for (a, o). It only draws row indices, so it can be used
    with any model that has attribute and object features apart.

    Parameters
    ----------
    strategy : {"similarity", "random"}, default="similarity"
        Where the attribute comes from: an object drawn by its similarity to o among
        those that occur with a, then one of its rows; or any row with attribute a.

    similarity_temperature : float, default=1.0
        Divides the similarities before the softmax, > 0. Cosines lie in [-1, 1], so
        that 1 is nearly uniform; 0.1 prefers similar objects clearly.

    Attributes
    ----------
    pairs_ : ndarray of int of shape (P, 2)
        Distinct seen pairs as positions in ``attributes_`` and ``objects_``, in the
        order of ``pair_probabilities``.

    attributes_, objects_ : ndarray of shape (A,), (O,)
        Labels of either kind.

    References
    ----------
    .. [1] Li, Jiang, Wang, Long, Zhang, Zhang, "Primitive-based adversarial training
       for compositional zero-shot learning", arXiv 2406.14962.

    Examples
    --------
    >>> from minimalml.multioutput import ObjectSimilarityOverSampler
    >>> y = [["red", "apple"], ["red", "car"], ["green", "apple"]]
    >>> embeddings = [[1.0, 0.0], [0.8, 0.6]]  # of "apple" and "car"
    >>> sampler = ObjectSimilarityOverSampler().fit(y, embeddings)
    >>> drawn = sampler.sample(4, random_state=0)
    >>> drawn.pair.shape, drawn.attribute_rows.shape, drawn.object_rows.shape
    ((4,), (4,), (4,))
    """

    def __init__(self, strategy="similarity", *, similarity_temperature=1.0):
        if strategy not in ("similarity", "random"):
            raise ValueError(
                f'strategy must be "similarity" or "random", got {strategy!r}.'
            )
        if not similarity_temperature > 0:
            raise ValueError(
                f"similarity_temperature must be > 0, got {similarity_temperature}."
            )
        self.strategy = strategy
        self.similarity_temperature = similarity_temperature

    def fit(self, y, object_embeddings=None):
        """Group the rows by pair.

        Parameters
        ----------
        y : array-like of shape (n, 2)
            Attribute and object of each row.

        object_embeddings : array-like of shape (O, w), default=None
            A vector for each object, in sorted order of the labels; may be None with
            ``strategy="random"``.

        Returns
        -------
        self
            The fitted sampler.

        Raises
        ------
        ValueError
            If embeddings are missing or not one for each object.
        """
        labels = PairLabels.read(y)
        self.attributes_, self.objects_ = labels.attributes, labels.objects
        self.pairs_ = labels.seen_pairs
        attribute, obj = self.pairs_.T
        self._rows_of_pair = _Groups(labels.pair_index, len(self.pairs_))
        self._rows_of_object = _Groups(labels.codes[:, 1], len(self.objects_))
        if self.strategy == "random":
            self._rows_of_attribute = _Groups(labels.codes[:, 0], len(self.attributes_))
            return self
        similarity = self._similarities(object_embeddings)
        # entries (p, q): pair q has the attribute of pair p and may lend it a row
        pairs_of_attribute = _Groups(attribute, len(self.attributes_))
        counts = pairs_of_attribute.sizes[attribute]
        lender = np.concatenate([pairs_of_attribute.members(a) for a in attribute])
        weights = np.exp(
            (similarity[np.repeat(obj, counts), obj[lender]] - 1)
            / self.similarity_temperature
        )
        self._lender, self._lender_ends = lender, np.cumsum(counts)
        self._lender_mass = np.concatenate([[0.0], np.cumsum(weights)])
        return self

    def _similarities(self, object_embeddings):
        if object_embeddings is None:
            raise ValueError(
                'object_embeddings are needed for strategy="similarity": give one '
                'vector an object, or use strategy="random".'
            )
        embeddings = check_array(object_embeddings, input_name="object_embeddings")
        if len(embeddings) != len(self.objects_):
            raise ValueError(
                f"object_embeddings must have {len(self.objects_)} rows, one for each "
                f"object of y, got {len(embeddings)}."
            )
        unit = normalize(embeddings)
        return unit @ unit.T

    def sample(self, n_samples, pair_probabilities=None, random_state=None):
        """Draw compositions.

        Parameters
        ----------
        n_samples : int
            How many.

        pair_probabilities : array-like of shape (P,), default=None
            Weights of the seen pairs ``pairs_``, not negative; they need not sum to 1.
            None draws all alike.

        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        Bunch
            ``pair`` (n_samples,): position in ``pairs_`` of what is composed;
            ``attribute_rows`` and ``object_rows`` (n_samples,): rows of y that lend
            the attribute and the object.

        Raises
        ------
        ValueError
            If the probabilities have another length, a negative entry or no positive.
        """
        rng = check_random_state(random_state)
        mass = np.cumsum(self._check_probabilities(pair_probabilities))
        pair = _search(mass, rng.uniform(0, mass[-1], n_samples))
        object_rows = self._rows_of_object.draw(self.pairs_[pair, 1], rng)
        if self.strategy == "random":
            rows = self._rows_of_attribute.draw(self.pairs_[pair, 0], rng)
            return Bunch(pair=pair, attribute_rows=rows, object_rows=object_rows)
        ends = self._lender_ends[pair]
        starts = np.where(pair == 0, 0, self._lender_ends[pair - 1])
        low, high = self._lender_mass[starts], self._lender_mass[ends]
        position = _search(self._lender_mass[1:], rng.uniform(low, high))
        lender = self._lender[np.clip(position, starts, ends - 1)]
        rows = self._rows_of_pair.draw(lender, rng)
        return Bunch(pair=pair, attribute_rows=rows, object_rows=object_rows)

    def _check_probabilities(self, probabilities):
        if probabilities is None:
            return np.ones(len(self.pairs_))
        probabilities = check_array(
            probabilities, ensure_2d=False, input_name="pair_probabilities"
        )
        if probabilities.shape != (len(self.pairs_),):
            raise ValueError(
                f"pair_probabilities must have shape ({len(self.pairs_)},), one entry "
                f"a seen pair, got {probabilities.shape}."
            )
        if probabilities.min() < 0 or not probabilities.any():
            raise ValueError(
                "pair_probabilities must not be negative, and one must be positive, "
                f"got a minimum of {probabilities.min()}."
            )
        return probabilities


class _Groups:
    """Rows sorted by group, to draw a random member of any group."""

    def __init__(self, codes, n_groups):
        self.order = np.argsort(codes, kind="stable")
        self.sizes = np.bincount(codes, minlength=n_groups)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def members(self, group):
        start = self.starts[group]
        return self.order[start : start + self.sizes[group]]

    def draw(self, groups, rng):
        sizes = self.sizes[groups]
        offset = (rng.uniform(size=len(groups)) * sizes).astype(np.intp)
        return self.order[self.starts[groups] + np.minimum(offset, sizes - 1)]


def _search(cumulative, values):
    """Position whose share of the cumulative sum holds each value."""
    return np.minimum(
        np.searchsorted(cumulative, values, side="right"), len(cumulative) - 1
    )
