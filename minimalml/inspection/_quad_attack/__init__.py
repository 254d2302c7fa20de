"""QuadAttacK: ordered top-k attacks by a quadratic programme a step."""
