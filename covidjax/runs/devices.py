"""JAX's devices, before anything is computed on them."""

import os

import jax


def prepare() -> None:
    """Finds JAX's devices, and has it compute in 32 bits whatever the environment says.

    Raises:
      ValueError: JAX has no device of the platform that it was told; in one line.
    """
    # JAX_ENABLE_X64 would make networks of other types than those that were saved.
    jax.config.update("jax_enable_x64", False)
    try:
        jax.devices()
    except Exception as error:  # which kind depends on the platform; of one an AssertionError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        asked = os.environ.get("JAX_PLATFORMS", "")
        setting = f"JAX_PLATFORMS={asked}: " if asked else ""
        raise ValueError(
            f"{setting}JAX finds no such device ({reason[:200]}); unset JAX_PLATFORMS, or install "
            'JAX for it (for CUDA: pip install -e ".[cuda12]")'
        ) from error
