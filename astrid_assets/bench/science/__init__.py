"""`make bench-science`: the statistics of the subtraction on the synthetic sky, against theory."""
