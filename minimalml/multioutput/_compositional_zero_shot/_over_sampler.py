"""Re-compose rows: the attribute of one row with the object of another.

The over-sampling of Li, Jiang, Wang, Long, Zhang, Zhang, "Primitive-based adversarial
training for compositional zero-shot learning", arXiv 2406.14962, 2024. O(B log n) for B samples and no loop over them: all draws are binary searches in
cumulative sums over rows that are grouped by pair.
"""

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch, check_array, check_random_state

from minimalml.multioutput._compositional_zero_shot._pairs import PairLabels


class ObjectSimilarityOverSampler:
    """Compose new training samples from the features of two different rows.

    For a seen pair (a, o) it names a row with object o and a row with attribute a on a
    similar object, whose object and attribute features together stand for (a, o). It
    only draws row indices, for any model that has the two kinds of features apart.

    Parameters
    ----------
    similarity_temperature : float, default=1.0
        Divides the cosines of objects before the softmax by which the lending object is
        drawn, > 0: 1 is nearly uniform, 0.1 prefers similar objects clearly.

    Attributes
    ----------
    pairs_ : ndarray of int of shape (P, 2)
        Distinct seen pairs as positions in ``attributes_`` and ``objects_``.

    attributes_, objects_ : ndarray of shape (A,), (O,)
        Labels of either kind.

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

    def __init__(self, *, similarity_temperature=1.0):
        if not similarity_temperature > 0:
            raise ValueError(
                f"similarity_temperature must be > 0, got {similarity_temperature}."
            )
        self.similarity_temperature = similarity_temperature

    def fit(self, y, object_embeddings):
        """Group the rows by pair.

        Parameters
        ----------
        y : array-like of shape (n, 2)
            Attribute and object of each row.

        object_embeddings : array-like of shape (O, w)
            A vector for each object, in sorted order of the labels; equal ones draw
            the lending object uniformly.

        Returns
        -------
        self
            The fitted sampler.

        Raises
        ------
        ValueError
            If embeddings are not one for each object.
        """
        labels = PairLabels.read(y)
        self.attributes_, self.objects_ = labels.values
        self.pairs_ = labels.seen_pairs
        self._rows_of_pair = _Groups(labels.pair_index)
        self._rows_of_object = _Groups(labels.codes[:, 1])
        embeddings = check_array(object_embeddings, input_name="object_embeddings")
        if len(embeddings) != len(self.objects_):
            raise ValueError(
                f"object_embeddings must have {len(self.objects_)} rows, one for each "
                f"object of y, got {len(embeddings)}."
            )
        unit = normalize(embeddings)
        attribute, obj = self.pairs_.T
        # Entries (p, q), by p: pair q has the attribute of pair p and may lend it a row
        borrower, self._lender = np.nonzero(attribute[:, None] == attribute)
        cosine = (unit @ unit.T)[obj[borrower], obj[self._lender]]
        weights = np.exp((cosine - 1) / self.similarity_temperature)
        self._lender_mass = np.concatenate([[0.0], np.cumsum(weights)])
        self._lender_starts = np.searchsorted(borrower, np.arange(len(attribute) + 1))
        return self

    def sample(self, n_samples, pair_probabilities=None, random_state=None):
        """Draw compositions.

        Parameters
        ----------
        n_samples : int
            How many.

        pair_probabilities : array-like of shape (P,), default=None
            Weights of ``pairs_``, not negative, of any sum; None draws all alike.

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
        starts, ends = self._lender_starts[pair], self._lender_starts[pair + 1]
        low, high = self._lender_mass[starts], self._lender_mass[ends]
        position = _search(self._lender_mass[1:], rng.uniform(low, high))
        lender = self._lender[np.clip(position, starts, ends - 1)]
        attribute_rows = self._rows_of_pair.draw(lender, rng)
        return Bunch(pair=pair, attribute_rows=attribute_rows, object_rows=object_rows)

    def _check_probabilities(self, probabilities):
        if probabilities is None:
            return np.ones(len(self.pairs_))
        name = "pair_probabilities"
        probabilities = check_array(probabilities, ensure_2d=False, input_name=name)
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

    def __init__(self, codes):
        self.order = np.argsort(codes, kind="stable")
        self.sizes = np.bincount(codes)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def draw(self, groups, rng):
        sizes = self.sizes[groups]
        offset = (rng.uniform(size=len(groups)) * sizes).astype(np.intp)
        return self.order[self.starts[groups] + np.minimum(offset, sizes - 1)]


def _search(cumulative, values):
    """Position whose share of the cumulative sum holds each value."""
    position = np.searchsorted(cumulative, values, side="right")
    return np.minimum(position, len(cumulative) - 1)
