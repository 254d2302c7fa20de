"""The one torch training loop, and the estimators that stand on it."""
