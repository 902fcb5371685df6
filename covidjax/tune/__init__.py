"""Tuning with Optuna."""
