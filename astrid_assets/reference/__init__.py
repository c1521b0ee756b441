"""Choosing the inputs of a reference and coadding them; promotion stands with the assets."""
