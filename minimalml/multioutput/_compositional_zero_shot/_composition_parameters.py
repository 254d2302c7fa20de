"""What the compositional classifier is told: names, defaults and ranges."""

from numbers import Integral, Real

from sklearn.base import BaseEstimator

from minimalml._core.training.estimator import TRAINING_CONSTRAINTS
from minimalml._core.validation import Interval, StrOptions

_positive = Interval(Real, 0, None, closed="neither")
_not_negative = Interval(Real, 0, None, closed="left")
_size = Interval(Integral, 1, None, closed="left")


class CompositionParameters(BaseEstimator):
    """Parameters of `CompositionalZeroShotClassifier`, which documents them."""

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
        weight_decay=5e-5,
        early_stopping=False,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
        training=None,
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
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.training = training
