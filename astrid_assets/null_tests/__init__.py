"""Tests of a night in which nothing may be found; the science files import no Dagster."""
