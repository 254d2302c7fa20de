"""Quick settings for scikit-learn's checks."""

from minimalml.bags import SubsetSelector
from minimalml.neural_network import Training

NEEDS_TORCH = {"SubsetSelector"}


def quick(**options):
    return SubsetSelector(
        n_components=8,
        hidden_layer_sizes=(16,),
        max_epochs=10,
        batch_size=16,
        learning_rate=0.01,
        n_samples=2,
        # the checks compare predictions to 1e-7, below a float32's rounding
        training=Training(dtype="float64"),
        **options,
    )


INSTANCES = {
    "SubsetSelector": [
        quick(),
        quick(
            context="superset", inference="independent", pooling="mean",
            negative_ratio=None, encoder="linear",
        ),
        quick(
            context=None, inference="mean_field", selection="size",
            n_mean_field_steps=2,
        ),
    ]
}  # fmt: skip

Y_VARIES_IN_BAGS = {"SubsetSelector"}

EXPECTED_FAILED_CHECKS = {
    "SubsetSelector": {
        "check_sample_weight_equivalence_on_dense_data": (
            "batches and subsets are drawn at random: repeated rows draw others"
        ),
    },
}
