"""Speed claims, each beside a named rival in the same run: ``python -m benchmarks``."""
