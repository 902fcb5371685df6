"""The page that shows runs in progress."""
