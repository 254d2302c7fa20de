"""What scikit-learn's checks run on."""

from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier

from minimalml.compression import GlobalMagnitudePruner

INSTANCES = {
    "GlobalMagnitudePruner": [
        GlobalMagnitudePruner(LogisticRegression(), sparsity=0.2),
        GlobalMagnitudePruner(
            LogisticRegression(), sparsity=0.3, fine_tune="refit_support"
        ),
        GlobalMagnitudePruner(Ridge(), sparsity=0.1),
        GlobalMagnitudePruner(
            MLPClassifier((20,), learning_rate_init=0.02, max_iter=60, random_state=0),
            sparsity=0.3,
            schedule="cubic",
            n_steps=2,
            fine_tune_epochs=2,
            random_state=0,
        ),
    ]
}
