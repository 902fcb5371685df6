// Normalisation by each image's own statistics with LeakyReLU, in as few passes over memory as there
// can be.

#include <array>
#include <cstdint>

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
  const auto terms = z_terms(plan, batch, mean->typed_data(), inverse->typed_data(), scale.typed_data(),
                             bias.typed_data());
  over_parts(pool, batch, plan, [&](auto vector, const Part& part, int64_t row, int64_t k) {
    using V = decltype(vector);
    const float* term = terms.data() + part.image * 3 * period + k;
    const int64_t at = part.begin + row * period + k;
    const V moved = load<V>(x.typed_data() + at) - load<V>(term);
    const V z = moved * load<V>(term + period) + load<V>(term + 2 * period);
    store(y->typed_data() + at, leaky(z, slope));
  });
  return ffi::Error::Success();
}

ffi::Error norm_backward(ffi::ThreadPool pool, Buffer x, Buffer dy, Buffer scale, Buffer bias,
                         Buffer mean, Buffer inverse, Result dx, Result d_scale, Result d_bias,
                         float slope) {
  const auto d = x.dimensions();
  const Plan plan(d[1] * d[2], d[3]);
  auto pull = [pulled = dy.typed_data(), period = plan.period](auto vector, const Part& part,
                                                                int64_t row, int64_t k) {
    using V = decltype(vector);
    return std::array<V, 2>{load<V>(pulled + part.begin + row * period + k)};
  };
  norm_gradient<2>(pool, x.typed_data(), d[0], plan, scale.typed_data(), bias.typed_data(),
                   mean.typed_data(), inverse.typed_data(), slope, pull, dx->typed_data(),
                   d_scale->typed_data(), d_bias->typed_data());
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
