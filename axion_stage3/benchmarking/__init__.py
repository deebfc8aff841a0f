"""How fast the network, the files and whole runs are on this machine.

``run_benchmark`` (benchmark.py) measures everything in one go and returns one document.
"""
