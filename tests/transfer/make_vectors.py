"""Makes vectors.npz, PyTorch's logits for the seeded networks: `python make_vectors.py`.

Needs PyTorch. The weights and images are made from seeds by plain_resnet.py, so only the logits are
stored: "rgb_DEPTH" for three-channel images, "gray_50" for one channel replicated three times.
"""

from pathlib import Path

import numpy as np
import plain_resnet


def logits() -> dict[str, np.ndarray]:
    """What is stored, by PyTorch."""
    found = {}
    for depth in plain_resnet.DEPTHS:
        state = plain_resnet.weights(depth)
        found[f"rgb_{depth}"] = plain_resnet.torch_logits(state, plain_resnet.images())
    gray = np.repeat(plain_resnet.images(channels=1), 3, axis=-1)
    found["gray_50"] = plain_resnet.torch_logits(plain_resnet.weights(50), gray)
    return found


if __name__ == "__main__":
    np.savez(Path(__file__).with_name("vectors.npz"), **logits())
