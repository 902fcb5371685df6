"""From a file to gray levels."""
