"""What a run records about itself, how it goes on, and how it stops (no torch).

Everything stands in ``OUTPUT/runs/``, small and readable:

========================================  =========================================================
``run-manifest.json``                     what was run, with what, and how it ended (manifest.py)
``journal-000003-main.jsonl``             one line per tile outcome of session 3 (journal.py)
``lease-000003.json``                     who is writing here now; gone when the run ends (lease.py)
========================================  =========================================================

A *session* is one start of the program on the output folder; a run that was killed twice has three.
The output files and the journals are the truth, all else is derived from them. ``session.py`` ties
the parts together in the order that the promises in docs/guarantees.md rest on.
"""
