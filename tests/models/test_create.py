"""Models by name, and errors that name what is known."""

import jax.numpy as jnp
import pytest

from covidjax import models
from covidjax.models.cnn import CNN
from covidjax.models.resnet import ResNet


def test_names_give_modules_with_their_attributes_set():
    cnn = models.create("cnn", num_classes=2, widths=[4, 8], dropout=0.1, dtype="bfloat16")
    assert isinstance(cnn, CNN)
    assert tuple(cnn.widths) == (4, 8) and cnn.dropout == 0.1 and cnn.dtype == jnp.bfloat16
    resnet = models.create("resnet", num_classes=4, depth=34)
    assert isinstance(resnet, ResNet)
    assert (resnet.num_classes, resnet.depth, resnet.dtype) == (4, 34, jnp.float32)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("vgg", {}, "model 'vgg' is unknown: known are cnn, resnet, bottleneck, unet, dncnn"),
        ("cnn", {"dtype": "float16"}, "dtype 'float16' is unknown: known are float32, bfloat16"),
        ("cnn", {"depth": 18}, "model 'cnn' has no field depth: known are .*widths"),
        ("cnn", {"width": 3, "conv": 1}, "has no field conv, width"),
        ("resnet", {"widths": (4,)}, "model 'resnet' has no field widths: known are .*depth"),
        ("resnet", {"depth": 20}, r"depth 20 is unknown: known are \[18, 34, 50, 101\]"),
        ("resnet", {"parent": None}, "has no field parent"),
        ("cnn", {"kernels": "fast"}, "kernels='fast': known are auto, plain"),
    ],
)
def test_what_is_unknown_is_refused_and_the_known_is_named(name, fields, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, num_classes=2, **fields)
