"""Optimal transport with at most k non-zeros in each column of the plan."""
