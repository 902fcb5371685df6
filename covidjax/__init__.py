"""Chest X-ray classification and denoising in JAX, with the evidence beside every score."""

__version__ = "0.1.0"
