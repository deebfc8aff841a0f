"""What is wrong with a tile, a folder of tiles, or the outputs of a run (no torch).

The checks themselves are pure functions in ``tiles``; here files are opened, the checks are put in
order, and what they find is gathered: for one tile in full (tile_inspection.py), for folders in
parallel and as a stream (validation.py).
"""
