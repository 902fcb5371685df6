"""Denoising: config check, training, evaluation, figures; `python -m covidjax.denoise`."""
