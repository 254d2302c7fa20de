"""Utility and diversity of batches: which samples of a batch are worth a backward pass."""
