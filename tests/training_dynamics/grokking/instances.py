"""What scikit-learn's checks and the properties run on."""

from minimalml.training_dynamics import LazyRichRegressor

NEEDS_TORCH = {"LazyRichRegressor"}
QUICK = dict(
    hidden_layer_sizes=(16,), kernel_rows=8, optimizer="adam", learning_rate=0.03
)
INSTANCES = {
    "LazyRichRegressor": [
        LazyRichRegressor(max_epochs=60, **QUICK),
        LazyRichRegressor(
            0.5, max_epochs=60, center=False, validation_fraction=0.2, **QUICK
        ),
    ]
}
ROW_VALUES = {"LazyRichRegressor": {"X_val": None, "y_val": None}}
