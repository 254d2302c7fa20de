"""Side by side with what one would use instead, in one run, as ratios.

A script ``benchmarks/peers/STEM.py`` holds ``COMPARISONS``, a list of `Comparison`;
``python -m benchmarks.peers STEM`` prints the table over growing n, for 1 and 2
threads, with peak memory.
"""

from benchmarks.peers.runner import Comparison

__all__ = ["Comparison"]
