// Normalisation by each image's own statistics with LeakyReLU, and a product of its channels with a
// matrix: a 1 x 1 convolution. What is normalized is never stored. Channels and outputs are multiples
// of LANES.

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "buffers.h"
#include "normalize.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

// Pixels worked on at once: the arrays of so many, of 32 channels, fill a first-level cache.
constexpr int64_t AT_ONCE = 4 * ROWS;

// What is normalized, with LeakyReLU; `terms` are an image's of z_terms.
void activate(const float* x, int64_t pixels, int64_t channels, const float* terms, float slope, float* to) {
  for (int64_t c = 0; c < channels; c += LANES) {
    const Vector mean = load(terms + c), factor = load(terms + channels + c);
    const Vector bias = load(terms + 2 * channels + c);
    for (int64_t k = c; k < pixels * channels; k += channels)
      store(to + k, leaky((load(x + k) - mean) * factor + bias, slope));
  }
}

// rows [pixels, in] times matrix [in, out].
void times(const float* rows, int64_t pixels, int64_t in, const float* matrix, int64_t out, float* to) {
  for (int64_t o = 0; o < out; o += COLUMNS * LANES)
    panel_product<false>(panel(out, o), pixels, in, rows, in, 1, matrix + o, out, to + o, out);
}

ffi::Error mix_forward(ffi::ThreadPool pool, Buffer x, Buffer scale, Buffer bias, Buffer matrix, Result y,
                       Result mean, Result inverse, float epsilon, float slope) {
  const auto d = x.dimensions();
  const int64_t batch = d[0], channels = d[3], out = matrix.dimensions()[1];
  const Plan plan(d[1] * d[2], channels);
  moments(pool, x.typed_data(), batch, plan, epsilon, mean->typed_data(), inverse->typed_data());
  const auto terms = z_terms(plan, batch, mean->typed_data(), inverse->typed_data(), scale.typed_data(),
                             bias.typed_data());
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const int64_t begin = part.begin / channels, end = begin + part.count / channels;
    float* active = scratch(AT_ONCE * channels);
    for (int64_t first = begin; first < end; first += AT_ONCE) {
      const int64_t here = std::min(AT_ONCE, end - first);
      activate(x.typed_data() + first * channels, here, channels, terms.data() + part.image * 3 * channels,
               slope, active);
      times(active, here, channels, matrix.typed_data(), out, y->typed_data() + first * out);
    }
  });
  return ffi::Error::Success();
}

// Sums of some pixels: of the gradient dz, of dz * (x - mean), [2][channels]; of active x times dy,
// [channels][out]. dz is left in `dx`.
struct Sums {
  float *moments, *matrix;
};

void add_pixels(const float* x, const float* dy, int64_t pixels, int64_t channels, int64_t out,
                const float* terms, const float* turned, float slope, float* active, const Sums& sums,
                float* dx) {
  activate(x, pixels, channels, terms, slope, active);
  times(dy, pixels, out, turned, channels, dx);
  for (int64_t o = 0; o < out; o += COLUMNS * LANES)
    panel_product<true>(panel(out, o), channels, pixels, active, 1, channels, dy + o, out, sums.matrix + o,
                        out);
  for (int64_t c = 0; c < channels; c += LANES) {
    const Vector mean = load(terms + c);
    Vector one = load(sums.moments + c), two = load(sums.moments + channels + c);
    for (int64_t k = c; k < pixels * channels; k += channels) {
      const Vector dz = load(dx + k) * slopes(load(active + k), slope);
      store(dx + k, dz);
      one += dz;
      two += dz * (load(x + k) - mean);
    }
    store(sums.moments + c, one);
    store(sums.moments + channels + c, two);
  }
}

ffi::Error mix_backward(ffi::ThreadPool pool, Buffer x, Buffer dy, Buffer scale, Buffer bias, Buffer matrix,
                        Buffer mean, Buffer inverse, Result dx, Result d_scale, Result d_bias,
                        Result d_matrix, float slope) {
  constexpr int64_t MOST = 16;  // sums of a matrix; their order may not depend on the threads
  const auto d = x.dimensions();
  const int64_t batch = d[0], channels = d[3], out = matrix.dimensions()[1], size = channels * out;
  const Plan plan(d[1] * d[2], channels);
  const auto terms = z_terms(plan, batch, mean.typed_data(), inverse.typed_data(), scale.typed_data(),
                             bias.typed_data());
  std::vector<float> turned(size);
  for (int64_t k = 0; k < size; ++k) turned[k % out * channels + k / out] = matrix.typed_data()[k];
  const int64_t tasks = batch * plan.tasks, each = (tasks + MOST - 1) / MOST;
  const int64_t bands = (tasks + each - 1) / each;
  std::vector<float> moments(tasks * 2 * channels), matrices(bands * size);
  parallel_for(pool, bands, [&](int64_t band) {
    float* active = scratch(AT_ONCE * channels);
    for (int64_t task = band * each; task < std::min(tasks, (band + 1) * each); ++task) {
      const Part part = part_of(plan, task);
      const Sums sums{moments.data() + task * 2 * channels, matrices.data() + band * size};
      const int64_t begin = part.begin / channels, end = begin + part.count / channels;
      for (int64_t first = begin; first < end; first += AT_ONCE)
        add_pixels(x.typed_data() + first * channels, dy.typed_data() + first * out,
                   std::min(AT_ONCE, end - first), channels, out, terms.data() + part.image * 3 * channels,
                   turned.data(), slope, active, sums, dx->typed_data() + first * channels);
    }
  });
  for (int64_t k = 0; k < size; ++k)
    d_matrix->typed_data()[k] = static_cast<float>(over_tasks(matrices.data(), bands, 1, size, 0, k));
  const auto abc = coefficients(moments.data(), batch, plan.tasks, 2, channels, plan.pixels,
                                scale.typed_data(), inverse.typed_data(), d_scale->typed_data(),
                                d_bias->typed_data());
  over_parts(pool, batch, plan, [&](auto vector, const Part& part, int64_t row, int64_t k) {
    using V = decltype(vector);
    const float *a = abc.data() + part.image * 3 * channels + k, *b = a + channels, *c = b + channels;
    const int64_t at = part.begin + row * channels + k;
    const V value = load<V>(x.typed_data() + at) - load<V>(terms.data() + part.image * 3 * channels + k);
    float* to = dx->typed_data() + at;
    store<V>(to, load<V>(a) * load<V>(to) + load<V>(b) * value + load<V>(c));
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_mix_forward, covidjax::mix_forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<float>("epsilon").Attr<float>("slope"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_mix_backward, covidjax::mix_backward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<float>("slope"));
