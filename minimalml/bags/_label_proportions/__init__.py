"""Label proportions: find the positive rows by belief propagation, then learn them."""
