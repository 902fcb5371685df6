"""CPU kernels in C++ behind `jax.ffi`, compiled once on the user's machine; optional."""
