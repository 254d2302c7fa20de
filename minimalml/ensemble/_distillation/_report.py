"""What a student costs and keeps beside its teachers."""

import pickle
from time import perf_counter

import numpy as np


def compare(models, average, score):
    """Ask models in turn about rows, and return the columns of a table.

    ``models`` are (name, model, function that answers), the student last; ``average`` makes
    one answer of all others, and ``score(answer, mean)`` returns numbers by name.
    """
    rows, answers = [], []
    for name, model, answer in models:
        start = perf_counter()
        answers.append(answer())
        seconds = perf_counter() - start
        n_bytes = len(pickle.dumps(model))
        rows.append({"model": name, "seconds": seconds, "bytes": n_bytes})
    mean = average(answers[:-1])
    whole = {name: sum(row[name] for row in rows[:-1]) for name in ("seconds", "bytes")}
    rows.insert(-1, {"model": "mean of teachers", **whole})
    answers.insert(-1, mean)
    rows = [
        row | score(answer, mean) for row, answer in zip(rows, answers, strict=True)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
