"""Image quality, classical methods, spectra and edges."""
