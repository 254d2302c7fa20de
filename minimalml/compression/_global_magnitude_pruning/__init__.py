"""Global magnitude pruning: all layers' weights ranked together."""
