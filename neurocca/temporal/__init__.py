"""Seconds and volumes, one run at a time."""
