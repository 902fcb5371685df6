// Normalisation by each image's own statistics with LeakyReLU, in as few passes over memory as there
// can be.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffers.h"
#include "normalize.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

ffi::Error norm_forward(ffi::ThreadPool pool, Buffer x, Buffer scale, Buffer bias, Result y,
                        Result mean, Result inverse, float epsilon, float slope) {
  const auto d = x.dimensions();
  const int64_t batch = d[0], channels = d[3];
  const Plan plan(d[1] * d[2], channels);
  const int64_t period = plan.period;
  moments(pool, x.typed_data(), batch, plan, epsilon, mean->typed_data(), inverse->typed_data());
  std::vector<float> terms(batch * 3 * period);  // per image: mean, factor, bias
  for (int64_t image = 0; image < batch; ++image)
    z_terms(plan, mean->typed_data() + image * channels, inverse->typed_data() + image * channels,
            scale.typed_data(), bias.typed_data(), terms.data() + image * 3 * period);
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float* from = x.typed_data() + part.begin;
    float* to = y->typed_data() + part.begin;
    const float* middle = terms.data() + part.image * 3 * period;
    const float *factor = middle + period, *shift = factor + period;
    by_columns(part.count, period, [&](auto vectors, int64_t group, int64_t rows) {
      constexpr int N = vectors;
      Vector m[N], f[N], s[N];
      for (int n = 0; n < N; ++n) {
        m[n] = load(middle + group + n * LANES);
        f[n] = load(factor + group + n * LANES);
        s[n] = load(shift + group + n * LANES);
      }
      int64_t at = group;
      for (int64_t row = 0; row < rows; ++row, at += period)
        for (int n = 0; n < N; ++n)
          store(to + at + n * LANES, leaky((load(from + at + n * LANES) - m[n]) * f[n] + s[n], slope));
    });
    for (int64_t at = part.count / period * period, k = 0; at + k < part.count; ++k) {
      const float z = (from[at + k] - middle[k]) * factor[k] + shift[k];
      to[at + k] = z > 0 ? z : slope * z;
    }
  });
  return ffi::Error::Success();
}

ffi::Error norm_backward(ffi::ThreadPool pool, Buffer x, Buffer dy, Buffer scale, Buffer bias,
                         Buffer mean, Buffer inverse, Result dx, Result d_scale, Result d_bias,
                         float slope) {
  const auto d = x.dimensions();
  const int64_t batch = d[0], channels = d[3];
  const Plan plan(d[1] * d[2], channels);
  const int64_t period = plan.period;
  // Per image: mean, factor and bias of z; then a, b, c of the gradient.
  std::vector<float> terms(batch * 6 * period), sums(batch * plan.tasks * 2 * channels);
  for (int64_t image = 0; image < batch; ++image)
    z_terms(plan, mean.typed_data() + image * channels, inverse.typed_data() + image * channels,
            scale.typed_data(), bias.typed_data(), terms.data() + image * 6 * period);
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float *from = x.typed_data() + part.begin, *pulled = dy.typed_data() + part.begin;
    const float* middle = terms.data() + part.image * 6 * period;
    const float *factor = middle + period, *shift = factor + period;
    std::vector<float> space(2 * period);
    float *one = space.data(), *two = one + period;
    by_columns(part.count, period, [&](auto vectors, int64_t group, int64_t rows) {
      constexpr int N = vectors;
      Vector m[N], f[N], s[N], first[N], second[N];
      for (int n = 0; n < N; ++n) {
        m[n] = load(middle + group + n * LANES);
        f[n] = load(factor + group + n * LANES);
        s[n] = load(shift + group + n * LANES);
        first[n] = second[n] = Vector{};
      }
      int64_t at = group;
      for (int64_t row = 0; row < rows; ++row, at += period)
        for (int n = 0; n < N; ++n) {
          const Vector value = load(from + at + n * LANES) - m[n];
          const Vector dz = load(pulled + at + n * LANES) * slopes(value * f[n] + s[n], slope);
          first[n] += dz;
          second[n] += dz * value;
        }
      for (int n = 0; n < N; ++n) {
        store(one + group + n * LANES, first[n]);
        store(two + group + n * LANES, second[n]);
      }
    });
    for (int64_t at = part.count / period * period, k = 0; at + k < part.count; ++k) {
      const float value = from[at + k] - middle[k], z = value * factor[k] + shift[k];
      const float dz = pulled[at + k] * (z > 0 ? 1.0f : slope);
      one[k] += dz;
      two[k] += dz * value;
    }
    fold(one, two, channels, period, sums.data() + task * 2 * channels);
  });
  std::fill(d_scale->typed_data(), d_scale->typed_data() + channels, 0.0f);
  std::fill(d_bias->typed_data(), d_bias->typed_data() + channels, 0.0f);
  std::vector<float> abc(3 * channels);
  for (int64_t image = 0; image < batch; ++image) {
    coefficients(sums, image * plan.tasks, plan.tasks, channels, plan.pixels, scale.typed_data(),
                 inverse.typed_data() + image * channels, abc.data(), abc.data() + channels,
                 abc.data() + 2 * channels, d_scale->typed_data(), d_bias->typed_data());
    for (int part = 0; part < 3; ++part)
      repeat(abc.data() + part * channels, channels, period,
             terms.data() + (image * 6 + 3 + part) * period);
  }
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float *from = x.typed_data() + part.begin, *pulled = dy.typed_data() + part.begin;
    float* to = dx->typed_data() + part.begin;
    const float* middle = terms.data() + part.image * 6 * period;
    const float *factor = middle + period, *shift = factor + period, *a = shift + period;
    const float *b = a + period, *c = b + period;
    by_columns(part.count, period, [&](auto vectors, int64_t group, int64_t rows) {
      constexpr int N = vectors;
      Vector m[N], f[N], s[N], u[N], v[N], w[N];
      for (int n = 0; n < N; ++n) {
        const int64_t k = group + n * LANES;
        m[n] = load(middle + k), f[n] = load(factor + k), s[n] = load(shift + k);
        u[n] = load(a + k), v[n] = load(b + k), w[n] = load(c + k);
      }
      int64_t at = group;
      for (int64_t row = 0; row < rows; ++row, at += period)
        for (int n = 0; n < N; ++n) {
          const Vector value = load(from + at + n * LANES) - m[n];
          const Vector dz = load(pulled + at + n * LANES) * slopes(value * f[n] + s[n], slope);
          store(to + at + n * LANES, u[n] * dz + v[n] * value + w[n]);
        }
    });
    for (int64_t at = part.count / period * period, k = 0; at + k < part.count; ++k) {
      const float value = from[at + k] - middle[k], z = value * factor[k] + shift[k];
      const float dz = pulled[at + k] * (z > 0 ? 1.0f : slope);
      to[at + k] = a[k] * dz + b[k] * value + c[k];
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_norm_forward, covidjax::norm_forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<float>("epsilon").Attr<float>("slope"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_norm_backward, covidjax::norm_backward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<float>("slope"));
