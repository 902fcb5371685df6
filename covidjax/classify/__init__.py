"""Classification: config check, training, evaluation, figures."""
