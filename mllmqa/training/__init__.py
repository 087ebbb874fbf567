"""Training: losses and checkpoints."""
