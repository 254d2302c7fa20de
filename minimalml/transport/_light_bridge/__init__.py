"""Light Schrödinger bridge: entropic transport by a mixture of Gaussians."""
