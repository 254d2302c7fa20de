"""Learning from aggregate responses: bag-level, instance-level and interpolated losses."""
