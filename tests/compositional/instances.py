"""Quick settings for scikit-learn's checks."""

from minimalml.compositional import CompositionalZeroShotClassifier

NEEDS_TORCH = {"CompositionalZeroShotClassifier"}

INSTANCES = {
    "CompositionalZeroShotClassifier": [
        CompositionalZeroShotClassifier(
            hidden_sizes=(16,),
            encoder_hidden=16,
            embedding_dim=16,
            max_epochs=12,
            learning_rate=0.02,
            batch_size=64,
            # the checks compare predictions to 1e-7, below a float32's rounding
            dtype="float64",
        )
    ]
}
