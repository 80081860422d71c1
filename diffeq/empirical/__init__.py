"""From market records to numbers: readers, bad rows, trade signing, price impact, smiles.

Importing this package imports no pandas: the readers import it when they first read a table.
"""

from diffeq.empirical import bad_rows, impact, parity, readers, signing, smile

__all__ = ["bad_rows", "impact", "parity", "readers", "signing", "smile"]
