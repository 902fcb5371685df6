"""Starting from weights that exist: where they come from, how they fit, what of them is trained."""
