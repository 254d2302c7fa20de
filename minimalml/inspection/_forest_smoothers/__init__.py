"""Forests, boosting and their like as weights over training rows."""
