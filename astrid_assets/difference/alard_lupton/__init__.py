"""The second algorithm: a kernel fitted from stars brings the sharper image to the other.

Sources: Alard & Lupton 1998, ApJ 503, 325; Alard 2000, A&AS 144, 363 (flux conserved while the
kernel varies); Reiss & Lupton 2016, DMTN-021 (noise made white again). Filters and maps are those
of the shared scheme in `kernels.py`; only where the kernels come from differs from ZOGY.
"""
