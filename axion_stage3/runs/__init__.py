"""What a run records about itself, and how it stops (no torch)."""
