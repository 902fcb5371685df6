"""Sharded train steps, the loop around them, and its checkpoints. Knows no task."""
