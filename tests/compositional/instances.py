"""Quick settings for scikit-learn's checks."""

from minimalml.compositional import CompositionalZeroShotClassifier

INSTANCES = {
    "CompositionalZeroShotClassifier": [
        CompositionalZeroShotClassifier(
            hidden_sizes=(32,),
            encoder_hidden=32,
            embedding_dim=16,
            max_epochs=30,
            learning_rate=0.01,
            batch_size=32,
        )
    ]
}
