"""Whitened bases or an estimator in, p-values out; knows no CCA class."""
