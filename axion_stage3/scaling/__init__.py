"""Runs by many workers: who has which tiles (leases.py), and the engines (processes, Ray).

Leases of tile paths travel between driver and workers, never pixels. A worker reads, computes and
writes with the same code as a run in one process, and keeps a journal of its own; output files and
journals are the truth, so that anything may be done twice without harm.
"""
