"""The stopping rules: running variances equal their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.dip import stop as dip_stop


def variances(rule: str, outputs, window: int = 4, share: float = 0.3) -> list[float]:
    watch, found = dip_stop.begin(rule, window, outputs.shape[1:]), []
    see = jax.jit(lambda watch, step, x: dip_stop.see(watch, rule, window, share, step, x))
    for step, output in enumerate(outputs):
        watch, variance = see(watch, jnp.int32(step), output)
        found.append(float(variance))
    return found


OUTPUTS = np.random.default_rng(0).normal(size=(23, 3, 5, 1)).astype(np.float32)


def test_wmv_is_the_variance_over_the_last_outputs():
    found = variances("wmv", OUTPUTS)
    assert np.isinf(found[:3]).all()
    expected = [OUTPUTS[end - 4 : end].var(axis=0).mean() for end in range(4, len(OUTPUTS) + 1)]
    np.testing.assert_allclose(found[3:], expected, rtol=1e-5)


def test_emv_is_the_papers_recursion():
    mean, variance, expected = OUTPUTS[0], 0.0, []
    for output in OUTPUTS:
        variance = 0.7 * (variance + 0.3 * float(((output - mean) ** 2).mean()))
        mean = 0.7 * mean + 0.3 * output
        expected.append(variance)
    found = variances("emv", OUTPUTS)
    assert np.isinf(found[:3]).all()
    np.testing.assert_allclose(found[3:], expected[3:], rtol=1e-5)


@pytest.mark.parametrize("rule", ["wmv", "emv"])
def test_the_smallest_variance_is_where_outputs_rest(rule):
    spread = np.concatenate([np.linspace(1, 0.05, 40), np.linspace(0.05, 1, 40)])
    outputs = spread[:, None, None, None] * np.random.default_rng(1).normal(size=(80, 8, 8, 1))
    assert 38 <= int(np.argmin(variances(rule, outputs.astype(np.float32)))) <= 48


def test_no_rule_never_judges():
    assert np.isinf(variances("none", OUTPUTS)).all()
