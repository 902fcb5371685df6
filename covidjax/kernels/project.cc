// Normalisation by each image's own statistics with LeakyReLU, and a product of its channels with one
// column of weights: one number a pixel. What is normalized is never stored, nor is its gradient.
// Channels are a multiple of 16.

#include <array>
#include <cstdint>

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
  const auto terms = z_terms(plan, batch, mean->typed_data(), inverse->typed_data(), scale.typed_data(),
                             bias.typed_data());
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
  const float *pulled = dy.typed_data(), *weights = column.typed_data();
  auto pull = [=](auto vector, const Part& part, int64_t pixel, int64_t k) {  // a period is a pixel
    using V = decltype(vector);
    const V each = V{} + pulled[part.begin / channels + pixel];
    return std::array<V, 2>{each * load<V>(weights + k), each};
  };
  const auto sums = norm_gradient<3>(pool, x.typed_data(), batch, plan, scale.typed_data(),
                                     bias.typed_data(), mean.typed_data(), inverse.typed_data(), slope,
                                     pull, dx->typed_data(), d_scale->typed_data(), d_bias->typed_data());
  for (int64_t k = 0; k < channels; ++k)
    d_column->typed_data()[k] =
        static_cast<float>(over_tasks(sums.data(), batch * plan.tasks, 3, channels, 2, k));
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
