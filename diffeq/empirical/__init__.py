"""From market records to numbers: readers, the bad-row policy, trade signing, price impact.

Importing this package imports no pandas: the readers import it when they first read a table.
"""

from diffeq.empirical import bad_rows, impact, readers, signing

__all__ = ["bad_rows", "impact", "readers", "signing"]
