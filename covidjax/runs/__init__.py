"""What a run leaves, and what every run needs."""
