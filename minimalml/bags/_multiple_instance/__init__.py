"""Multiple-instance learning: a bag is positive if one of its rows is."""
