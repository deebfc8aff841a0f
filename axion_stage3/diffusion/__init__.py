"""Network, noise schedule, samplers and checkpoints (torch)."""
