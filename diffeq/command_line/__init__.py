"""The verbs of ``python -m diffeq``: a file each, and what turns typed words into calls."""
