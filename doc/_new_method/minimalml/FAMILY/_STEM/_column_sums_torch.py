"""Sums of columns of tensors, on their device."""


def add_column_sums(X, sums):
    """Add the rows to ``sums``."""
    sums += X.sum(dim=0, dtype=sums.dtype)
