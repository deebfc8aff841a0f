"""Where folders lie: on a disk, or in an object store (S3, Google Cloud, Azure).

A folder on a disk is a `pathlib.Path`, and nothing here comes between it and its user. A folder in
an object store is an `ObjectUrl`, with those methods of a path that a run needs: join, read, write
once, remove, list. What stores lack is not pretended: there is no renaming, no appending and no
locking.
"""
