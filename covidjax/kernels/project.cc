// Normalisation by each image's own statistics with LeakyReLU, and a product of its channels with one
// column of weights: one number a pixel. What is normalised is never stored, nor is its gradient.
// Channels are a multiple of 16.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffers.h"
#include "normalize.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

inline float total(Vector value) {
  Short parts[LANES / FEW], sum = {};
  __builtin_memcpy(parts, &value, sizeof value);
  for (const Short part : parts) sum += part;
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

ffi::Error project_forward(ffi::ThreadPool pool, Buffer x, Buffer scale, Buffer bias, Buffer column,
                           Result y, Result mean, Result inverse, float epsilon, float slope) {
  const auto d = x.dimensions();
  const int64_t batch = d[0], channels = d[3];
  const Plan plan(d[1] * d[2], channels);
  moments(pool, x.typed_data(), batch, plan, epsilon, mean->typed_data(), inverse->typed_data());
  std::vector<float> terms(batch * 3 * channels);
  for (int64_t image = 0; image < batch; ++image)
    z_terms(plan, mean->typed_data() + image * channels, inverse->typed_data() + image * channels,
            scale.typed_data(), bias.typed_data(), terms.data() + image * 3 * channels);
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float* from = x.typed_data() + part.begin;
    float* to = y->typed_data() + part.begin / channels;
    const float* middle = terms.data() + part.image * 3 * channels;
    const float *factor = middle + channels, *shift = factor + channels;
    by_columns(part.count, channels, [&](auto vectors, int64_t group, int64_t pixels) {
      constexpr int N = vectors;
      Vector m[N], f[N], s[N], w[N];
      for (int n = 0; n < N; ++n) {
        const int64_t k = group + n * LANES;
        m[n] = load(middle + k), f[n] = load(factor + k), s[n] = load(shift + k);
        w[n] = load(column.typed_data() + k);
      }
      const float* at = from + group;
      for (int64_t pixel = 0; pixel < pixels; ++pixel, at += channels) {
        Vector sum = {};
        for (int n = 0; n < N; ++n)
          sum += w[n] * leaky((load(at + n * LANES) - m[n]) * f[n] + s[n], slope);
        to[pixel] = (group ? to[pixel] : 0.0f) + total(sum);
      }
    });
  });
  return ffi::Error::Success();
}

ffi::Error project_backward(ffi::ThreadPool pool, Buffer x, Buffer dy, Buffer scale, Buffer bias,
                            Buffer column, Buffer mean, Buffer inverse, Result dx, Result d_scale,
                            Result d_bias, Result d_column, float slope) {
  const auto d = x.dimensions();
  const int64_t batch = d[0], channels = d[3];
  const Plan plan(d[1] * d[2], channels);
  const float* weights = column.typed_data();
  // Per image: mean, factor and bias of z; then a, b, c of the gradient.
  std::vector<float> terms(batch * 6 * channels), sums(batch * plan.tasks * 2 * channels);
  std::vector<float> products(batch * plan.tasks * channels);
  for (int64_t image = 0; image < batch; ++image)
    z_terms(plan, mean.typed_data() + image * channels, inverse.typed_data() + image * channels,
            scale.typed_data(), bias.typed_data(), terms.data() + image * 6 * channels);
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float* from = x.typed_data() + part.begin;
    const float* pulled = dy.typed_data() + part.begin / channels;
    const float* middle = terms.data() + part.image * 6 * channels;
    const float *factor = middle + channels, *shift = factor + channels;
    float *one = sums.data() + task * 2 * channels, *two = one + channels;
    float* product = products.data() + task * channels;
    by_columns(part.count, channels, [&](auto vectors, int64_t group, int64_t pixels) {
      constexpr int N = vectors;
      Vector m[N], f[N], s[N], first[N] = {}, second[N] = {}, third[N] = {};
      for (int n = 0; n < N; ++n) {
        const int64_t k = group + n * LANES;
        m[n] = load(middle + k), f[n] = load(factor + k), s[n] = load(shift + k);
      }
      const float* at = from + group;
      for (int64_t pixel = 0; pixel < pixels; ++pixel, at += channels)
        for (int n = 0; n < N; ++n) {
          const Vector value = load(at + n * LANES) - m[n], z = value * f[n] + s[n];
          const Vector part = pulled[pixel] * slopes(z, slope);
          first[n] += part;
          second[n] += part * value;
          third[n] += part * z;
        }
      for (int n = 0; n < N; ++n) {
        const int64_t k = group + n * LANES;
        store(one + k, first[n] * load(weights + k));
        store(two + k, second[n] * load(weights + k));
        store(product + k, third[n]);
      }
    });
  });
  std::fill_n(d_scale->typed_data(), channels, 0.0f);
  std::fill_n(d_bias->typed_data(), channels, 0.0f);
  for (int64_t k = 0; k < channels; ++k) {
    double sum = 0;
    for (int64_t task = 0; task < batch * plan.tasks; ++task) sum += products[task * channels + k];
    d_column->typed_data()[k] = static_cast<float>(sum);
  }
  for (int64_t image = 0; image < batch; ++image) {
    float *a = terms.data() + (image * 6 + 3) * channels, *b = a + channels, *c = b + channels;
    coefficients(sums, image * plan.tasks, plan.tasks, channels, plan.pixels, scale.typed_data(),
                 inverse.typed_data() + image * channels, a, b, c, d_scale->typed_data(),
                 d_bias->typed_data());
    for (int64_t k = 0; k < channels; ++k) a[k] *= weights[k];
  }
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float* from = x.typed_data() + part.begin;
    const float* pulled = dy.typed_data() + part.begin / channels;
    float* to = dx->typed_data() + part.begin;
    const float* middle = terms.data() + part.image * 6 * channels;
    const float *factor = middle + channels, *shift = factor + channels, *a = shift + channels;
    const float *b = a + channels, *c = b + channels;
    by_columns(part.count, channels, [&](auto vectors, int64_t group, int64_t pixels) {
      constexpr int N = vectors;
      Vector m[N], f[N], s[N], u[N], v[N], w[N];
      for (int n = 0; n < N; ++n) {
        const int64_t k = group + n * LANES;
        m[n] = load(middle + k), f[n] = load(factor + k), s[n] = load(shift + k);
        u[n] = load(a + k), v[n] = load(b + k), w[n] = load(c + k);
      }
      int64_t at = group;
      for (int64_t pixel = 0; pixel < pixels; ++pixel, at += channels)
        for (int n = 0; n < N; ++n) {
          const Vector value = load(from + at + n * LANES) - m[n];
          const Vector part = pulled[pixel] * slopes(value * f[n] + s[n], slope);
          store(to + at + n * LANES, u[n] * part + v[n] * value + w[n]);
        }
    });
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_project_forward, covidjax::project_forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<float>("epsilon").Attr<float>("slope"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_project_backward, covidjax::project_backward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<float>("slope"));
