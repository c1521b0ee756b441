"""`make bench`: what each stage costs on the synthetic sky, and what Dagster adds to a run."""
