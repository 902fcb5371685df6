"""The shortcut audit: what a classifier reaches that sees no lung."""
