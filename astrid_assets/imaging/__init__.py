"""What several stages share: background, sources, PSF, resampling, photometry, synthetic sky.

Only functions over arrays and `Image`s belong here; what one stage alone needs stands in its room.
"""
