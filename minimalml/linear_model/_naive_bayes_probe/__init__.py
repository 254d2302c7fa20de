"""Naive Bayes on frozen features, and where logistic regression overtakes it."""
