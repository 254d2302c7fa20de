"""Subset selection: which rows of a set belong to its best subset."""
