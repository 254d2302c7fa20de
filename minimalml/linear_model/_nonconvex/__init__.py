"""Sparse linear and logistic regression with penalties that don't shrink what is large."""
