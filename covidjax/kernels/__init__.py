"""Convolutions that are fast on the CPU: in C++ behind `jax.ffi`, else in array operations."""
