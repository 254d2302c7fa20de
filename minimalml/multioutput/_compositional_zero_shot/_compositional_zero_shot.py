"""Compositional zero-shot recognition with adversarial and re-composed primitives.

Li, Jiang, Wang, Long, Zhang, Zhang, "Primitive-based adversarial training for
compositional zero-shot learning", 2024. A row is recognised as a whole, by its
attribute, by its object and by the composition of the two; in training the attribute
and object features are moved against their classifiers and swapped between rows.
"""

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from minimalml._core.arrays import import_torch
from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.documentation import document_training
from minimalml._core.validation import _fit_context
from minimalml.multioutput._compositional_zero_shot._composition_parameters import (
    CompositionParameters,
)
from minimalml.multioutput._compositional_zero_shot._composition_training import (
    CompositionTrainingMixin,
)
from minimalml.multioutput._compositional_zero_shot._label_embeddings import (
    read_label_embeddings,
)
from minimalml.multioutput._compositional_zero_shot._pair_classifier import (
    validate_pairs,
)
from minimalml.multioutput._compositional_zero_shot._pairs import pair_positions

# From this many features on the features are taken for a large backbone's, which the
# paper trains on with a small rate.
MANY_FEATURES, RATE_FOR_MANY, RATE_FOR_FEW = 512, 2e-5, 1e-3


@document_training
class CompositionalZeroShotClassifier(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CompositionTrainingMixin,
    CompositionParameters,
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
        Weight of the losses on adversarially moved primitives; 0 leaves them out.

    epsilons : sequence of float, default=(0.0, 0.005, 0.05, 0.5)
        Sizes of the adversarial step, at least 0, of which one is drawn for each batch
        and primitive. Large ones hurt.

    noise_scale : float, default=16/255
        Largest random start of the step.

    symmetric_noise : bool, default=False
        Draw the start on both sides of zero; the paper's code draws it above zero.

    attack_backbone_gradient : bool, default=False
        Let the adversarial losses train the encoders too, not only what follows them.

    oversampling : bool, default=True
        Add pairs that are composed of the features of two different rows, more of
        those pairs that are badly recognised.

    oversampling_start : int, default=None
        Epochs before that begins; None waits a third of ``max_epochs``.

    oversampling_strategy : {"similarity", "random"}, default="similarity"
        Where the attribute comes from, see `ObjectSimilarityOverSampler`.

    detach_synthetic : bool, default=False
        Let composed rows train the label embeddings only, as the paper's code does.

    similarity_temperature : float, default=1.0
        See `ObjectSimilarityOverSampler`.

    label_smoothing : float, default=0.1
        Share of the target that pairs with a common primitive get, in [0, 1).

    pair_scale : float, default=20.0
        Multiplies the cosines of pairs in the softmax.

    primitive_scale : float, default=20.0
        The same for the cosines of attributes and objects.

    consistency_weight : float, default=1.0
        Weight, within the adversarial loss, of the divergence between the compositions
        of clean and moved features.

    unseen_calibration_weight : float, default=0.0
        Weight of a loss that pulls a row mildly to the nearest unseen candidate pair.

    score_weights : sequence of 4 floats, default=(1.0, 1.0, 1.0, 1.0)
        Weights of the four cosines: whole, composed, attribute, object.

    hidden_sizes : sequence of int, default=(1024, 2048)
        Hidden widths of the branch that sees the row as a whole.

    encoder_hidden : int, default=2048
        Hidden width of the two encoders and of the composer; 128 is enough for about
        100 features.

    embedding_dim : int, default=300
        Length of the vectors that are compared.

    attribute_embeddings : array-like of shape (A, w) or dict, default=None
        Semantic vectors of the attributes: rows in sorted order of the labels, or a
        dictionary from label to vector. They are where trained embeddings start; None
        starts from noise of length 64.

    object_embeddings : array-like of shape (O, w) or dict, default=None
        The same of the objects. If both are dictionaries, pairs of labels that
        training does not show at all may be candidates.

    candidate_pairs : None, "all" or array-like of shape (P, 2), default=None
        Pairs that may be answered: None takes the pairs of training and
        ``unseen_pairs``, "all" each attribute with each object (open world).

    unseen_pairs : array-like of shape (P_unseen, 2), default=None
        Pairs of known labels that training does not show.

    bias : float or "auto", default=0.0
        Added to the scores of unseen pairs in predictions; "auto" holds out pairs and
        takes the bias with the best harmonic mean on them.

    module : torch.nn.Module or callable, default=None
        Network with the methods of the built-in one (``forward``, ``encode``,
        ``attribute_encoder``, ``object_encoder``, ``compose``, ``attribute_head``,
        ``object_head``, ``embed_attributes``, ``embed_objects``, ``embed_pairs``); a
        callable is called with ``n_features``, ``attribute_embeddings`` and
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

    Notes
    -----
    For the moved attribute features f' = f + u + e sign(g), g is the gradient of the
    attribute loss by f, u uniform noise and e the drawn epsilon; f is detached, so that
    heads, composer and label embeddings learn from f' and the encoders do not.

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
    ...     hidden_sizes=(32,), encoder_hidden=32, embedding_dim=16, max_epochs=20,
    ...     unseen_pairs=data.unseen_pairs, random_state=0)
    >>> model = model.fit(data.X_train, data.y_train)
    >>> model.predict(data.X_test).shape
    (140, 2)
    """

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Train on rows of seen pairs.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        y : array-like of shape (n, 2) or (n,)
            Attribute and object of each row, of any label type; one column holds
            objects under one constant attribute: an ordinary classifier.

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
        self._check_sequences()
        continues = self._continues()
        X, labels = validate_pairs(self, X, y, reset=not continues)
        named = [p for p in (self.candidate_pairs, self.unseen_pairs) if _is_array(p)]
        labels, tables = read_label_embeddings(
            labels, (self.attribute_embeddings, self.object_embeddings), named
        )
        # apart from the network's four seeds, which are drawn first
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=6)
        split_seed, attack_seed = map(int, seeds[4:])
        rows, held_out = self._hold_out(labels, split_seed)
        training = labels if rows is None else labels.take(rows)
        self._check_pairs(training, continues)
        self._set_pairs(training, None if rows is None else labels.seen_pairs)
        self.seen_bias_ = 0.0 if self.bias == "auto" else float(self.bias)
        self._tables, self._held_out = tables, held_out
        sampler = self._make_sampler(X, rows, training) if self.oversampling else None
        self._losses = self._make_losses(training, sampler, attack_seed)
        columns = {
            "X": X,
            "codes": labels.codes,
            "pair": pair_positions(labels.codes, training.seen_pairs),
        }
        options = {"rows": rows, "extend": self._losses.extend}
        if self.learning_rate == "auto":
            is_wide = X.shape[1] >= MANY_FEATURES
            options["learning_rate"] = RATE_FOR_MANY if is_wide else RATE_FOR_FEW
        self._fit_network(columns, X, y, **options)
        self._conclude(X, labels)
        return self

    def _conclude(self, X, labels):
        """Set what is known after the last epoch."""
        self._losses.take_accuracy()
        self.pair_accuracy_ = self._losses.pair_accuracy
        self.history_ = self._training_state.losses
        if self.bias == "auto" and not labels.is_single:
            rows = self._represent(X[self._held_out])
            curve = self._curve(rows, labels.codes[self._held_out])
            self.seen_bias_ = curve.bias_at_best
        del self._losses, self._tables, self._held_out

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


def _is_array(pairs):
    return pairs is not None and not isinstance(pairs, str)
