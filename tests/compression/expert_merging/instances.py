"""What scikit-learn's checks and the properties run on."""

from minimalml.compression import (
    ExpertCompressor,
    ExpertMerger,
    MixtureOfExpertsClassifier,
)
from minimalml.neural_network import Training


def mixture(n_experts=3, **options):
    # float64: a row alone and among others then rounds to the same prediction
    training = Training(optimizer="adamw", schedule="cosine", dtype="float64")
    return MixtureOfExpertsClassifier(
        n_experts, width=8, expert_width=8, max_epochs=25, learning_rate=0.03,
        batch_size=32, training=training, random_state=0, **options,
    )  # fmt: skip


def merger(**options):
    return ExpertMerger(mixture(), n_experts=2, fine_tune_epochs=2, **options)


INSTANCES = {
    "MixtureOfExpertsClassifier": [mixture(), mixture(n_active=1, n_layers=2)],
    "ExpertMerger": [merger()],
    "ExpertCompressor": [
        ExpertCompressor(mixture(2), rank=2, max_epochs=3),
        ExpertCompressor(merger(), rank=2, max_epochs=0),
    ],
}
NEEDS_TORCH = set(INSTANCES)
EXPECTED_FAILED_CHECKS = {
    name: {
        "check_sample_weight_equivalence_on_dense_data": (
            "batches are drawn at random: repeated rows come in others than weighted ones"
        )
    }
    for name in ("ExpertMerger", "ExpertCompressor")
}
