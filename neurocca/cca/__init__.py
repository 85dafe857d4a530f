"""Two views in, canonical variates out."""
