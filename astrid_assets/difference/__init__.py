"""Subtraction of a reference from a science image; the science files import no Dagster."""
