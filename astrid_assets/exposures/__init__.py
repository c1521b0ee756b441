"""Raw FITS in: discovery, safety checks, header translation, registration.

Science and logic stand beside the Dagster files (assets, sensors) and import none of them.
"""
