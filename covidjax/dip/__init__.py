"""Deep Image Prior: queue, fit, stopping, figures."""
