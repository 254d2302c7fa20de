"""A codebook behind one linear layer, for networks with a discrete bottleneck."""
