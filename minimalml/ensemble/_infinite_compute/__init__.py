"""Infinite compute: regularised ensembles, and the laws that their losses follow."""
