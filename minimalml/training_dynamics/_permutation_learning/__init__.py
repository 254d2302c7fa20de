"""Permutation learning: the idea in one line."""
