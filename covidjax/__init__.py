"""Chest X-ray classification and denoising in JAX, with the evidence beside every score."""

import logging

__version__ = "0.1.0"

# Before anything imports it: it tells of a home folder that it cannot write to, and of fonts on a
# first start.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
