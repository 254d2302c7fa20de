"""Grokking: a network is lazy first, and learns features later."""
