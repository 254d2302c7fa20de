"""Ensemble distillation: a small model learns the mean of what several say."""
