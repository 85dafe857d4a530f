"""The edges: nothing else opens a file."""
