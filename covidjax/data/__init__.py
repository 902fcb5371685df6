"""From a prepared dataset to batches: source, table, splits, preprocess, cache, batches."""
