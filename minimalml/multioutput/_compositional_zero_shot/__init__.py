"""Pairs of an attribute and an object, recognised though never seen together."""
