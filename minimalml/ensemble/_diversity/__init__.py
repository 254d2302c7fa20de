"""Diversity: the idea in one line."""
