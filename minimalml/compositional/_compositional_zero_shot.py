"""Compositional zero-shot recognition with adversarial and re-composed primitives.

Li, Jiang, Wang, Long, Zhang, Zhang, "Primitive-based adversarial training for
compositional zero-shot learning", 2024. A row is recognised as a whole, by its
attribute, by its object and by the composition of the two; in training the attribute
and object features are moved against their classifiers and swapped between rows.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)

from minimalml._core.arrays import import_torch
from minimalml._core.callbacks import with_callbacks
from minimalml._core.training import TRAINING_CONSTRAINTS
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.compositional._composition_training import CompositionTrainingMixin
from minimalml.compositional._label_embeddings import read_label_embeddings
from minimalml.compositional._pair_classifier import validate_pairs
from minimalml.compositional._pairs import pair_positions

# From this many features on the features are taken for a large backbone's, which the
# paper trains on with a small rate.
MANY_FEATURES, RATE_FOR_MANY, RATE_FOR_FEW = 512, 2e-5, 1e-3

_positive = Interval(Real, 0, None, closed="neither")
_not_negative = Interval(Real, 0, None, closed="left")
_size = Interval(Integral, 1, None, closed="left")


class CompositionalZeroShotClassifier(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CompositionTrainingMixin,
    BaseEstimator,
):
    """Recognise (attribute, object) pairs, those that training never shows included.

    Use it on features of a frozen backbone, or any rows that carry two labels whose
    combinations matter. Each candidate pair is scored by four cosines: of the row as a
    whole, of its composed attribute and object features, of its attribute and of its
    object. Where all pairs occur in training, an ordinary classifier of pairs is
    simpler and as good. Training costs O(n d h) an epoch for encoder width h; either
    part adds about a quarter to a network of the default size.

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

    max_epochs : int, default=200
        Passes over the rows.

    batch_size : int or "auto", default=128
        Rows a step, at least 2 (batch norm); "auto" is 200. A last batch of one row is
        left out of its epoch.

    learning_rate : float or "auto", default="auto"
        "auto" is 2e-5 from 512 features on and 1e-3 below.

    optimizer : {"adam", "adamw", "sgd", "lbfgs"} or callable, default="adam"
        Optimiser.

    weight_decay : float, default=5e-5
        L2 penalty on the weights.

    schedule : {"constant", "cosine", "linear", "step", "onecycle"} or callable, \
            default="constant"
        How the learning rate changes over the run.

    warmup_epochs : float, default=0
        Epochs over which the learning rate first grows.

    gradient_clip : float, default=None
        Largest norm of the gradient.

    early_stopping : bool, default=False
        Hold out pairs, and stop when their area under the seen-unseen curve grows no
        more; the best epoch's weights are kept.

    validation_fraction : float, default=0.1
        Share of the pairs, and of the other pairs' rows, that is held out with
        ``early_stopping`` or ``bias="auto"``. Held-out pairs count as unseen.

    n_iter_no_change : int, default=10
        Epochs without improvement before an early stop.

    tol : float, default=1e-4
        What counts as improvement.

    weight_average : {"ema", "swa"}, default=None
        Average of the weights to predict with.

    average_decay : float, default=0.999
        Decay of "ema".

    device : str or torch.device, default="auto"
        Where to train: "auto" takes cuda, else mps, else the CPU.

    dtype : {"float32", "float64"}, default="float32"
        Float type of the network.

    amp : bool or {"float16", "bfloat16"}, default=False
        Mixed precision.

    compile : bool, default=False
        Compile the network with torch.

    warm_start : bool, default=False
        Go on from the present network in the next fit, on the same labels.

    random_state : int, RandomState instance or None, default=None
        Seed; an int makes fits repeatable bit for bit.

    verbose : int, default=0
        1 prints a line an epoch, 2 adds the single losses.

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

    module_ : torch.nn.Module
        The network.

    history_ : dict of str to list of float
        Mean of each loss ("pair", "attribute", ...) in each epoch.

    loss_curve_ : list of float
        Mean total loss of each epoch.

    validation_scores_ : list of float or None
        Area under the curve (accuracy for one column) on held-out rows.

    n_iter_ : int
        Epochs that were run.

    best_epoch_ : int
        Epoch whose weights are used.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (d,)
        Names of the features, where X had names.

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
    >>> from minimalml.compositional import CompositionalZeroShotClassifier
    >>> from minimalml.datasets import make_compositions
    >>> data = make_compositions(4, 5, n_features=16, random_state=0)
    >>> model = CompositionalZeroShotClassifier(
    ...     hidden_sizes=(32,), encoder_hidden=32, embedding_dim=16, max_epochs=20,
    ...     unseen_pairs=data.unseen_pairs, random_state=0)
    >>> model = model.fit(data.X_train, data.y_train)
    >>> model.predict(data.X_test).shape
    (140, 2)
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "adversarial_weight": [_not_negative],
        "epsilons": ["array-like"],
        "noise_scale": [_not_negative],
        "symmetric_noise": ["boolean"],
        "attack_backbone_gradient": ["boolean"],
        "oversampling": ["boolean"],
        "oversampling_start": [Interval(Integral, 0, None, closed="left"), None],
        "oversampling_strategy": [StrOptions({"similarity", "random"})],
        "detach_synthetic": ["boolean"],
        "similarity_temperature": [_positive],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "pair_scale": [_positive],
        "primitive_scale": [_positive],
        "consistency_weight": [_not_negative],
        "unseen_calibration_weight": [_not_negative],
        "score_weights": ["array-like"],
        "hidden_sizes": ["array-like"],
        "encoder_hidden": [_size],
        "embedding_dim": [_size],
        "attribute_embeddings": ["array-like", dict, None],
        "object_embeddings": ["array-like", dict, None],
        "candidate_pairs": [StrOptions({"all"}), "array-like", None],
        "unseen_pairs": ["array-like", None],
        "bias": [Interval(Real, None, None, closed="neither"), StrOptions({"auto"})],
        "module": [callable, None],
        "batch_size": [
            Interval(Integral, 2, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [_positive, StrOptions({"auto"})],
    }

    def __init__(
        self,
        *,
        adversarial_weight=1.0,
        epsilons=(0.0, 0.005, 0.05, 0.5),
        noise_scale=16 / 255,
        symmetric_noise=False,
        attack_backbone_gradient=False,
        oversampling=True,
        oversampling_start=None,
        oversampling_strategy="similarity",
        detach_synthetic=False,
        similarity_temperature=1.0,
        label_smoothing=0.1,
        pair_scale=20.0,
        primitive_scale=20.0,
        consistency_weight=1.0,
        unseen_calibration_weight=0.0,
        score_weights=(1.0, 1.0, 1.0, 1.0),
        hidden_sizes=(1024, 2048),
        encoder_hidden=2048,
        embedding_dim=300,
        attribute_embeddings=None,
        object_embeddings=None,
        candidate_pairs=None,
        unseen_pairs=None,
        bias=0.0,
        module=None,
        max_epochs=200,
        batch_size=128,
        learning_rate="auto",
        optimizer="adam",
        weight_decay=5e-5,
        schedule="constant",
        warmup_epochs=0,
        gradient_clip=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        weight_average=None,
        average_decay=0.999,
        device="auto",
        dtype="float32",
        amp=False,
        compile=False,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.adversarial_weight = adversarial_weight
        self.epsilons = epsilons
        self.noise_scale = noise_scale
        self.symmetric_noise = symmetric_noise
        self.attack_backbone_gradient = attack_backbone_gradient
        self.oversampling = oversampling
        self.oversampling_start = oversampling_start
        self.oversampling_strategy = oversampling_strategy
        self.detach_synthetic = detach_synthetic
        self.similarity_temperature = similarity_temperature
        self.label_smoothing = label_smoothing
        self.pair_scale = pair_scale
        self.primitive_scale = primitive_scale
        self.consistency_weight = consistency_weight
        self.unseen_calibration_weight = unseen_calibration_weight
        self.score_weights = score_weights
        self.hidden_sizes = hidden_sizes
        self.encoder_hidden = encoder_hidden
        self.embedding_dim = embedding_dim
        self.attribute_embeddings = attribute_embeddings
        self.object_embeddings = object_embeddings
        self.candidate_pairs = candidate_pairs
        self.unseen_pairs = unseen_pairs
        self.bias = bias
        self.module = module
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.gradient_clip = gradient_clip
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.weight_average = weight_average
        self.average_decay = average_decay
        self.device = device
        self.dtype = dtype
        self.amp = amp
        self.compile = compile
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

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
        rows, held_out = self._hold_out(labels)
        training = labels if rows is None else labels.take(rows)
        if len(training.seen_pairs) < 2:
            raise ValueError(
                "y must have at least 2 different pairs (classes), got 1 class: "
                f"{training.describe(training.seen_pairs[0])}."
            )
        if continues and not self._labels.has_same_labels(training):
            raise ValueError(
                "warm_start=True goes on with the labels and pairs of the first fit, "
                "got others: set it to False."
            )
        self._set_pairs(training, None if rows is None else labels.seen_pairs)
        self.seen_bias_ = 0.0 if self.bias == "auto" else float(self.bias)
        self._tables, self._held_out = tables, held_out
        self._losses = self._make_losses(X if rows is None else X[rows], training)
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
            self.seen_bias_ = self._curve(
                rows, labels.codes[self._held_out]
            ).bias_at_best
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
        import_torch(type(self).__name__)
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        import torch

        return self._predict_rows(lambda X: torch.cat(self.module_.encode(X), dim=1), X)

    @property
    def _n_features_out(self):
        return 2 * self.n_features_in_


def _is_array(pairs):
    return pairs is not None and not isinstance(pairs, str)
