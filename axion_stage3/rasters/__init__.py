"""Tiles as georeferenced rasters: reading and writing GeoTIFF (extra ``geo``)."""
