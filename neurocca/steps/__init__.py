"""The steps of an analysis: read, compute, write."""
