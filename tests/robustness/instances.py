"""What scikit-learn's checks run on: their inputs have no fixed range."""

from sklearn.neural_network import MLPClassifier

from minimalml.robustness import QuadAttack

INSTANCES = {
    "QuadAttack": [
        QuadAttack(clip_values=None),
        QuadAttack(
            MLPClassifier((4,), solver="lbfgs", max_iter=5, random_state=0),
            clip_values=None,
            max_iter=3,
            random_state=0,
        ),
    ]
}
