"""Intrinsic dimension: networks trained in random subspaces, and how small these may be."""
