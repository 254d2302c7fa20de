"""Source tasks chosen by the smallest L1 relevance, and what they share."""
