"""C-Mixup: training rows mixed in pairs whose labels are close."""
