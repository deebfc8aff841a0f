"""From tile pairs to grounded tiles: read, predict, check, write."""
