"""Compositional zero-shot recognition with adversarial and re-composed primitives.

A row is recognised as a whole, by its attribute, by its object and by the composition of
the two; in training the attribute and object features are moved against their
classifiers and swapped between rows.
"""

from functools import partial

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state

from minimalml._core.arrays import import_torch
from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import (
    TRAINING_CONSTRAINTS,
    TorchEstimatorMixin,
)
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
)
from minimalml.multioutput._compositional_zero_shot import _pair_holdout, _pairs
from minimalml.multioutput._compositional_zero_shot._over_sampler import (
    ObjectSimilarityOverSampler,
)
from minimalml.multioutput._compositional_zero_shot._pair_classifier import (
    PairClassifierMixin,
)

# From this many features on the features are taken for a large backbone's, which the
# paper trains on with a small rate.
MANY_FEATURES, RATE_FOR_MANY, RATE_FOR_FEW = 512, 2e-5, 1e-3
POSITIVE, AUTO = Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})


@document_training
class CompositionalZeroShotClassifier(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    PairClassifierMixin,
    TorchEstimatorMixin,
    BaseEstimator,
):
    """Recognise (attribute, object) pairs, those that training never shows included.

    Use it on features of a frozen backbone, or any rows that carry two labels whose
    combinations matter. Each candidate pair is scored by four cosines: of the row as a
    whole, of its composed attribute and object features, of its attribute and of its
    object. Where all pairs occur in training, an ordinary classifier of pairs is
    simpler and as good. Training costs O(n d h) an epoch for encoder width h; of
    a step at the default widths, the attack adds a fifth and re-composed rows two fifths.

    Parameters
    ----------
    adversarial_weight : float, default=1.0
        Weight of the losses on adversarially moved primitives, see `primitive_attack`;
        0 leaves them out. They train what follows the encoders.

    oversampling : bool, default=True
        After a third of the epochs, add pairs that are composed of the features of two
        different rows, more of those pairs that are badly recognised. The attribute
        comes from a similar object, see `ObjectSimilarityOverSampler`.

    pair_scale : float, default=20.0
        Multiplies the cosines of pairs in the softmax.

    primitive_scale : float, default=20.0
        The same for the cosines of attributes and objects.

    unseen_pairs : None, "all" or array-like of shape (P_unseen, 2), default=None
        Pairs of known labels that may be answered beside those of training; "all" is
        each attribute with each object (open world).

    label_embeddings : pair of (array-like of shape (A or O, w), dict or None), \
            default=None
        Semantic vectors of the attributes and of the objects: rows in sorted order of
        the labels, or a dictionary from label to vector. They are where trained
        embeddings start; None starts from noise of length 64. If both are dictionaries,
        ``unseen_pairs`` may have labels that training does not show at all.

    bias : float or "auto", default=0.0
        Added to the scores of unseen pairs in predictions; "auto" holds out pairs and
        takes the bias with the best harmonic mean on them.

    hidden_sizes : sequence of int, default=(1024, 2048)
        Hidden widths of the branch that sees the row as a whole; the last is also that
        of the two encoders and of the composer. (128,) is enough for about 100 features.

    embedding_dim : int, default=300
        Length of the vectors that are compared.

    module : torch.nn.Module or callable, default=None
        Network with the methods of the built-in one (an error names those that lack);
        a callable is called with ``n_features``, ``attribute_embeddings`` and
        ``object_embeddings``. None builds the paper's.

    batch_size : int or "auto", default=128
        Rows a step, at least 2 (batch norm); "auto" is 200. A last batch of one row is
        left out of its epoch.

    learning_rate : float or "auto", default="auto"
        "auto" is 2e-5 from 512 features on and 1e-3 below.

    early_stopping : bool, default=False
        Hold out a share ``training.validation_fraction`` of the pairs, which then count
        as unseen, and of the other pairs' rows; stop when the area under the
        seen-unseen curve of these grows no more. The best epoch's weights are kept.

    Attributes
    ----------
    attributes_, objects_ : ndarray of shape (A,), (O,)
        Labels of either kind.

    classes_ : ndarray of shape (O,) or list of two ndarrays
        ``objects_`` after a fit on one column, else both.

    pairs_ : ndarray of shape (P, 2)
        Candidate pairs, seen ones first.

    seen_mask_ : ndarray of bool of shape (P,)
        Which of them training showed.

    seen_bias_ : float
        What predictions add to the scores of unseen pairs.

    pair_accuracy_ : ndarray of shape (n_seen,)
        Training accuracy of the seen pairs in the last epoch, in the order of
        ``pairs_``.

    history_ : dict of str to list of float
        Mean of each loss ("pair", "attribute", ...) in each epoch.

    validation_scores_ : list of float or None
        Area under the curve (accuracy for one column) on held-out rows.

    See Also
    --------
    IndependentPrimitives : The plain baseline.
    PairHoldoutSplit : Cross-validation over unseen pairs.
    make_czsl_scorer : Scorers of the seen-unseen trade-off.

    References
    ----------
    .. [1] Li, Jiang, Wang, Long, Zhang, Zhang, "Primitive-based adversarial training
       for compositional zero-shot learning", arXiv 2406.14962.

    Examples
    --------
    >>> from minimalml.multioutput import CompositionalZeroShotClassifier
    >>> from minimalml.datasets import make_compositions
    >>> data = make_compositions(4, 5, n_features=16, random_state=0)
    >>> model = CompositionalZeroShotClassifier(
    ...     hidden_sizes=(32,), embedding_dim=16, max_epochs=20,
    ...     unseen_pairs=data.unseen_pairs, random_state=0)
    >>> model = model.fit(data.X_train, data.y_train)
    >>> model.predict(data.X_test).shape
    (140, 2)
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "adversarial_weight": [Interval(Real, 0, None, closed="left")],
        "oversampling": ["boolean"],
        "pair_scale": [POSITIVE],
        "primitive_scale": [POSITIVE],
        "unseen_pairs": [StrOptions({"all"}), "array-like", None],
        "label_embeddings": [tuple, list, None],
        "bias": [Interval(Real, None, None, closed="neither"), AUTO],
        "hidden_sizes": ["array-like"],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "module": [callable, None],
        "batch_size": [Interval(Integral, 2, None, closed="left"), AUTO],
        "learning_rate": [POSITIVE, AUTO],
    }

    def __init__(
        self,
        *,
        adversarial_weight=1.0,
        oversampling=True,
        pair_scale=20.0,
        primitive_scale=20.0,
        unseen_pairs=None,
        label_embeddings=None,
        bias=0.0,
        hidden_sizes=(1024, 2048),
        embedding_dim=300,
        module=None,
        max_epochs=200,
        batch_size=128,
        learning_rate="auto",
        weight_decay=5e-5,
        early_stopping=False,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
        training=None,
    ):
        self.adversarial_weight = adversarial_weight
        self.oversampling = oversampling
        self.pair_scale = pair_scale
        self.primitive_scale = primitive_scale
        self.unseen_pairs = unseen_pairs
        self.label_embeddings = label_embeddings
        self.bias = bias
        self.hidden_sizes = hidden_sizes
        self.embedding_dim = embedding_dim
        self.module = module
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.training = training

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Train on rows of seen pairs.

        Parameters
        ----------
        X, y : array-like of shape (n, d), (n, 2) or (n,)
            Features, and attribute and object of each row, of any label type; one
            column holds objects under one constant attribute: an ordinary classifier.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If labels are missing, there is one pair only, a candidate uses an unknown
            label, or embeddings do not match the labels.
        """
        import_torch(type(self).__name__)
        from minimalml.multioutput._compositional_zero_shot import _composition_torch

        self._check_hidden_sizes()
        X, labels = self._read_pairs(X, y, reset=not self._continues())
        labels, self._tables = _pairs.read_label_embeddings(
            labels, self.label_embeddings, self.unseen_pairs
        )
        # apart from the network's four seeds, which are drawn first
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=6)
        split_seed, attack_seed = map(int, seeds[4:])
        rows = held_out = None
        training = labels
        chooses_bias = self.bias == "auto" and not labels.is_single
        if self.early_stopping or chooses_bias:
            fraction = self._training_settings.validation_fraction
            rows, held_out = _pair_holdout.hold_out_rows(labels, fraction, split_seed)
            training = labels.take(rows)
        self._check_pairs(training)
        self._set_pairs(training, labels.seen_pairs)
        self.seen_bias_ = 0.0 if self.bias == "auto" else float(self.bias)
        self._proba_scale = self.pair_scale
        sampler = self._make_sampler(X, rows, training) if self.oversampling else None
        self._losses = _composition_torch.CompositionLosses(
            self, training.seen_pairs, sampler, attack_seed
        )
        pair = _pairs.pair_positions(labels.codes, training.seen_pairs)
        columns = {"X": X, "codes": labels.codes, "pair": pair}
        options = {"rows": rows, "extend": self._losses.extend}
        if self.learning_rate == "auto":
            is_wide = X.shape[1] >= MANY_FEATURES
            options["learning_rate"] = RATE_FOR_MANY if is_wide else RATE_FOR_FEW
        if self.early_stopping:
            held = X[held_out], labels.codes[held_out]
            options["validate"] = lambda state: self._validation_score(*held)
        self._fit_network(columns, X, y, **options)
        if chooses_bias:
            curve, _ = self._curve(X[held_out], labels.codes[held_out])
            self.seen_bias_ = curve.bias_at_best
        self._conclude()
        return self

    def _validation_options(self, columns, stratify, seed):
        return {}  # fit has held pairs out already

    def _validation_score(self, X, codes):
        if not self._is_single:
            return self._curve(X, codes)[0].auc
        return float((self._answers(X) == codes).all(axis=1).mean())

    def _check_pairs(self, labels):
        """Check the pairs that are left to train on."""
        if len(labels.seen_pairs) < 2:
            raise ValueError(
                "y must have at least 2 different pairs (classes), got 1 class: "
                f"{labels.describe(labels.codes[0])}."
            )
        if not self._continues():
            return
        known = (self.attributes_, self.objects_, self._pair_codes[self.seen_mask_])
        found = (*labels.values, labels.seen_pairs)
        if not all(map(np.array_equal, known, found)):
            raise ValueError(
                "warm_start=True goes on with the labels and pairs of the first fit, "
                "got others: set it to False."
            )

    def _check_hidden_sizes(self):
        sizes = np.asarray(self.hidden_sizes)
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or min(sizes, default=0) < 1:
            raise ValueError(
                "hidden_sizes must be a sequence of at least one integer > 0, got "
                f"{self.hidden_sizes}."
            )

    def _make_sampler(self, X, rows, labels):
        """Fit the over-sampler by the objects' given vectors, or by their mean rows."""
        object_codes, vectors = labels.codes[:, 1], self._tables[1]
        present = np.unique(object_codes)
        if vectors is None:
            X = X if rows is None else X[rows]
            rows_of = [X[object_codes == code] for code in present]
            vectors = [rows.mean(axis=0, dtype=np.float64) for rows in rows_of]
        else:
            vectors = vectors[present]
        return ObjectSimilarityOverSampler().fit(labels.codes, vectors)

    def _build_network(self):
        from minimalml.multioutput._compositional_zero_shot import _composition_torch

        return _composition_torch.build_network(self, self._tables)

    def _training_loss(self, batch, state):
        return self._losses(batch, state)

    def _conclude(self):
        """Keep what the losses gathered, and let them go."""
        self._losses.take_accuracy()
        self.pair_accuracy_ = self._losses.pair_accuracy
        self.history_ = self._training_state.losses
        del self._losses, self._tables

    def transform(self, X):
        """Return the disentangled features: attribute features, then object features.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        ndarray of shape (n, 2 d)
            Both kinds side by side.
        """
        torch = import_torch(type(self).__name__)
        X = self._check_rows(X)
        return self._predict_rows(lambda X: torch.cat(self.module_.encode(X), dim=1), X)

    @property
    def _n_features_out(self):
        return 2 * self.n_features_in_

    def _represent(self, X):
        """Return a vector to compare pairs with, and scores of either primitive."""
        from minimalml.multioutput._compositional_zero_shot import _composition_torch

        represent = partial(_composition_torch.represent, self.module_)
        return [_as_computed(part) for part in self._map_rows(represent, X)]

    def _score_codes(self, rows, codes):
        from torch.nn.functional import normalize

        vector, attribute, objects = rows
        pairs = self._map_rows(
            lambda block: normalize(self.module_.embed_pairs(block), dim=1), codes
        )
        scores = vector @ _as_computed(pairs).T
        scores += attribute[:, codes[:, 0]]
        scores += objects[:, codes[:, 1]]
        return scores


def _as_computed(tensor):
    """Return a view for NumPy's product and our kernel on the CPU, else the tensor."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor
