"""Statistics of tiles and their aggregation (numpy only)."""
