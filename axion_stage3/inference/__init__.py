"""From pairs of tiles to grounded tiles: read, predict, check, write.

``run_inference`` (grounding_run.py) grounds folders, ``ground`` (predictor.py) grounds arrays.
"""
