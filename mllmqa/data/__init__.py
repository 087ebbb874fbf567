"""Data: label files, near-duplicates, synthetic distortions."""
