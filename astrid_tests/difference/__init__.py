"""Tests of the subtraction."""
