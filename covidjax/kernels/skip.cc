// Products of few columns, as a skip's 1 x 1 convolution is: x [pixels, in], matrix [in, out].
// `in` is a multiple of LANES, `out` at most FEW.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffers.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

ffi::Error few_forward(ffi::ThreadPool pool, Buffer x, Buffer matrix, Result y) {
  const auto m = matrix.dimensions();
  const int64_t in = m[0], out = m[1], pixels = x.element_count() / in;
  std::vector<float> filled(in * FEW);
  for (int64_t i = 0; i < in; ++i)
    std::copy_n(matrix.typed_data() + i * out, out, filled.data() + i * FEW);
  constexpr int64_t AT_ONCE = ROWS * 32;
  parallel_for(pool, (pixels + AT_ONCE - 1) / AT_ONCE, [&](int64_t task) {
    const int64_t first = task * AT_ONCE, here = std::min(AT_ONCE, pixels - first);
    const float* from = x.typed_data() + first * in;
    float* to = y->typed_data() + first * out;
    float* wide = out == FEW ? to : scratch(AT_ONCE * FEW);
    product<1, false, Short>(here, in, from, in, 1, filled.data(), FEW, wide, FEW);
    for (int64_t p = 0; p < here && out < FEW; ++p) std::copy_n(wide + p * FEW, out, to + p * out);
  });
  return ffi::Error::Success();
}

ffi::Error few_input_gradient(ffi::ThreadPool pool, Buffer dy, Buffer matrix, Result dx) {
  const auto m = matrix.dimensions();
  const int64_t in = m[0], out = m[1], pixels = dx->element_count() / in;
  std::vector<float> turned(in * out);
  for (int64_t i = 0; i < in; ++i)
    for (int64_t o = 0; o < out; ++o) turned[o * in + i] = matrix.typed_data()[i * out + o];
  constexpr int64_t AT_ONCE = 512;
  parallel_for(pool, (pixels + AT_ONCE - 1) / AT_ONCE, [&](int64_t task) {
    const int64_t end = std::min(pixels, (task + 1) * AT_ONCE);
    for (int64_t i = 0; i < in; i += LANES) {
      Vector weights[LANES];
      for (int64_t o = 0; o < out; ++o) weights[o] = load(turned.data() + o * in + i);
      for (int64_t p = task * AT_ONCE; p < end; ++p) {
        const float* pulled = dy.typed_data() + p * out;
        Vector sum = pulled[0] * weights[0];
        for (int64_t o = 1; o < out; ++o) sum += pulled[o] * weights[o];
        store(dx->typed_data() + p * in + i, sum);
      }
    }
  });
  return ffi::Error::Success();
}

// sums[o][in] += over `count` pixels, for OUT columns from `o` on.
template <int OUT>
void few_sums(const float* x, const float* dy, int64_t count, int64_t in, int64_t out, float* sums) {
  for (int64_t i = 0; i < in; i += LANES) {
    Vector sum[OUT] = {};
    for (int64_t p = 0; p < count; ++p) {
      const Vector value = load(x + p * in + i);
      for (int o = 0; o < OUT; ++o) sum[o] += dy[p * out + o] * value;
    }
    for (int o = 0; o < OUT; ++o) store(sums + o * in + i, sum[o]);
  }
}

ffi::Error few_kernel_gradient(ffi::ThreadPool pool, Buffer x, Buffer dy, Result gradient) {
  const auto m = gradient->dimensions();
  const int64_t in = m[0], out = m[1], pixels = x.element_count() / in;
  constexpr int64_t AT_ONCE = 1024;
  const int64_t tasks = (pixels + AT_ONCE - 1) / AT_ONCE;
  std::vector<float> sums(tasks * in * out);
  parallel_for(pool, tasks, [&](int64_t task) {
    const int64_t first = task * AT_ONCE, here = std::min(AT_ONCE, pixels - first);
    const float *from = x.typed_data() + first * in, *pulled = dy.typed_data() + first * out;
    float* to = sums.data() + task * in * out;
    int64_t o = 0;
    for (; o + FEW <= out; o += FEW) few_sums<FEW>(from, pulled + o, here, in, out, to + o * in);
    for (; o < out; ++o) few_sums<1>(from, pulled + o, here, in, out, to + o * in);
  });
  for (int64_t k = 0; k < in * out; ++k) {
    double sum = 0;
    for (int64_t task = 0; task < tasks; ++task) sum += sums[task * in * out + k];
    gradient->typed_data()[k % in * out + k / in] = static_cast<float>(sum);
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_few_forward, covidjax::few_forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_RET);
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_few_input_gradient, covidjax::few_input_gradient,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_RET);
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_few_kernel_gradient, covidjax::few_kernel_gradient,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_RET);
