"""Making calibrated exposures: variance, masks, background, PSF, WCS sanity, depth and grade.

Detrending of raw CCD frames and catalogue astrometry and photometry are not here yet.
"""
