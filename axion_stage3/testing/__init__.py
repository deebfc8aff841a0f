"""Public test tools: tile factories, oracles, fault injection."""
