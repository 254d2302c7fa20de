"""Screening: rank the columns of wide tables by any dependence on the target."""
