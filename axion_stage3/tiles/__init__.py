"""Reading, writing, pairing and checking tiles (numpy only)."""
