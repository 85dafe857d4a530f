"""Frames, sound or events in, (time, feature) arrays out; knows no file format."""
