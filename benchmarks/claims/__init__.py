"""Headline claims of the papers, re-run on data that ships or installs with the package.

A script ``benchmarks/claims/STEM.py`` marks each of its experiments with `claim`::

    from benchmarks.claims import Outcome, claim

    @claim("C-Mixup beats mixup and no mixing on shifted data (worst-domain RMSE)")
    def rotated_digits():
        ...
        return Outcome("reproduced", summary="...", measured={...})

``python -m minimalml claims STEM`` runs them, prints claim, measured and verdict, and
writes ``benchmarks/claims/results/STEM.json``, which the documentation reads.
"""

from benchmarks.claims.runner import Outcome, claim

__all__ = ["Outcome", "claim"]
