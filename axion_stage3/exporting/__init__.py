"""Figures and reports (extras)."""
