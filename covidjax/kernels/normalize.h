// Statistics of each image by itself, and passes over activations with terms of their own per channel.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "parallel.h"
#include "vector.h"

namespace covidjax {

constexpr int64_t TASK_FLOATS = 64 * 1024;  // 256 KiB: what a pass leaves in a core's own cache

// The sum number `kind` of channel c over an image's tasks; sums [tasks][kinds][channels].
inline double over_tasks(const float* sums, int64_t tasks, int64_t kinds, int64_t channels, int64_t kind,
                         int64_t c) {
  double sum = 0;
  for (int64_t task = 0; task < tasks; ++task) sum += sums[(task * kinds + kind) * channels + c];
  return sum;
}

// Mean and 1 / standard deviation from sums of (x - pivot) and its square; [tasks][2][channels].
inline void statistics(const float* sums, int64_t tasks, int64_t channels, int64_t pixels,
                       const float* pivot, float epsilon, float* mean, float* inverse) {
  for (int64_t c = 0; c < channels; ++c) {
    const double one = over_tasks(sums, tasks, 2, channels, 0, c) / pixels;
    const double two = over_tasks(sums, tasks, 2, channels, 1, c);
    const double variance = std::max(0.0, two / pixels - one * one);
    mean[c] = static_cast<float>(pivot[c] + one);
    inverse[c] = static_cast<float>(1 / std::sqrt(variance + epsilon));
  }
}

// Of the gradient dx = a dz + b (x - mean) + c, for each image a, b and c, [batch][3][channels]; sets the
// gradients of scale and bias. sums: [batch * tasks][kinds][channels], the first two of dz and
// dz * (x - mean).
inline std::vector<float> coefficients(const float* sums, int64_t batch, int64_t tasks, int64_t kinds,
                                       int64_t channels, int64_t pixels, const float* scale,
                                       const float* inverse, float* d_scale, float* d_bias) {
  std::vector<float> abc(batch * 3 * channels);
  std::fill_n(d_scale, channels, 0.0f);
  std::fill_n(d_bias, channels, 0.0f);
  for (int64_t image = 0; image < batch; ++image, sums += tasks * kinds * channels, inverse += channels) {
    float *a = abc.data() + image * 3 * channels, *b = a + channels, *c = b + channels;
    for (int64_t k = 0; k < channels; ++k) {
      const double plain = over_tasks(sums, tasks, kinds, channels, 0, k);
      const double moved = over_tasks(sums, tasks, kinds, channels, 1, k);
      const double hat = moved * inverse[k];  // sum of dz * x_hat
      const double factor = double(scale[k]) * inverse[k];
      const double slope = -factor * inverse[k] * hat / pixels;
      a[k] = static_cast<float>(factor);
      b[k] = static_cast<float>(slope);
      c[k] = static_cast<float>(-factor * plain / pixels);
      d_scale[k] += static_cast<float>(hat);
      d_bias[k] += static_cast<float>(plain);
    }
  }
  return abc;
}

// Per-channel values repeated so that whole vectors of pixels meet them: floats, a multiple of both
// the channels and 16.
inline int64_t period_of(int64_t channels) {
  int64_t period = channels;
  while (period % 16) period += channels;
  return period;
}

inline void repeat(const float* values, int64_t channels, int64_t period, float* to) {
  for (int64_t k = 0; k < period; ++k) to[k] = values[k % channels];
}

struct Plan {  // pixels of a task, and tasks of an image
  int64_t pixels, channels, period, at_once, tasks;
  Plan(int64_t pixels, int64_t channels) : pixels(pixels), channels(channels) {
    period = period_of(channels);
    at_once = std::max<int64_t>(1, TASK_FLOATS / period) * (period / channels);
    tasks = (pixels + at_once - 1) / at_once;
  }
};

struct Part {  // what a task has: floats from `begin` on, of an image
  int64_t image, begin, count;
};

inline Part part_of(const Plan& plan, int64_t task) {
  const int64_t image = task / plan.tasks, first = task % plan.tasks * plan.at_once;
  return {image, (image * plan.pixels + first) * plan.channels,
          std::min(plan.at_once, plan.pixels - first) * plan.channels};
}

// Cuts a period into groups of WIDE, 2 or 1 vectors, whose terms and sums fit into registers:
// work(vectors, first float of the group, whole periods in `count` floats) for each.
constexpr int WIDE = 4;
template <typename Work>
inline void by_columns(int64_t count, int64_t period, const Work& work) {
  const int64_t rows = count / period;
  int64_t group = 0;
  for (; group + WIDE * LANES <= period; group += WIDE * LANES)
    work(std::integral_constant<int, WIDE>(), group, rows);
  for (; group + 2 * LANES <= period; group += 2 * LANES)
    work(std::integral_constant<int, 2>(), group, rows);
  for (; group < period; group += LANES) work(std::integral_constant<int, 1>(), group, rows);
}

template <typename V>
inline V leaky(V z, float slope) {
  return z > 0 ? z : slope * z;
}

template <typename V>
inline V slopes(V z, float slope) {
  return z > 0 ? V{} + 1.0f : V{} + slope;
}

// Sums of KINDS values of each channel, [tasks][KINDS][channels]. of(vector, part, row, k) -> the values
// that belong to the numbers k floats behind the beginning of a part's period number `row`: a vector of
// them, or a single one, as the first argument is.
template <int KINDS, typename Of>
std::vector<float> channel_sums(xla::ffi::ThreadPool& pool, int64_t batch, const Plan& plan, const Of& of) {
  const int64_t channels = plan.channels, period = plan.period;
  std::vector<float> sums(batch * plan.tasks * KINDS * channels);
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    std::vector<float> space(KINDS * period);
    by_columns(part.count, period, [&](auto vectors, int64_t group, int64_t rows) {
      constexpr int N = vectors;
      Vector sum[KINDS][N] = {};
      for (int64_t row = 0; row < rows; ++row)
        for (int n = 0; n < N; ++n) {
          const auto found = of(Vector{}, part, row, group + n * LANES);
          for (int kind = 0; kind < KINDS; ++kind) sum[kind][n] += found[kind];
        }
      for (int kind = 0; kind < KINDS; ++kind)
        for (int n = 0; n < N; ++n)
          store(space.data() + kind * period + group + n * LANES, sum[kind][n]);
    });
    const int64_t rows = part.count / period;
    for (int64_t k = 0; k < part.count - rows * period; ++k) {
      const auto found = of(0.0f, part, rows, k);
      for (int kind = 0; kind < KINDS; ++kind) space[kind * period + k] += found[kind];
    }
    float* to = sums.data() + task * KINDS * channels;
    for (int64_t k = 0; k < KINDS * period; ++k)
      to[k / period * channels + k % period % channels] += space[k];
  });
  return sums;
}

// work(vector, part, row, k) for all numbers, as in channel_sums.
template <typename Work>
void over_parts(xla::ffi::ThreadPool& pool, int64_t batch, const Plan& plan, const Work& work) {
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const int64_t rows = part.count / plan.period;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t k = 0; k < plan.period; k += LANES) work(Vector{}, part, row, k);
    for (int64_t k = 0; k < part.count - rows * plan.period; ++k) work(0.0f, part, rows, k);
  });
}

// What z = (x - mean) * factor + bias takes, for each image a period of each: mean, factor, bias,
// [batch][3][period].
inline std::vector<float> z_terms(const Plan& plan, int64_t batch, const float* mean, const float* inverse,
                                  const float* scale, const float* bias) {
  std::vector<float> terms(batch * 3 * plan.period);
  for (int64_t image = 0; image < batch; ++image, mean += plan.channels, inverse += plan.channels) {
    float* to = terms.data() + image * 3 * plan.period;
    for (int64_t k = 0; k < plan.period; ++k) {
      const int64_t c = k % plan.channels;
      to[k] = mean[c];
      to[plan.period + k] = scale[c] * inverse[c];
      to[2 * plan.period + k] = bias[c];
    }
  }
  return terms;
}

// Mean and 1 / standard deviation of each image's channels, [batch][channels].
inline void moments(xla::ffi::ThreadPool& pool, const float* x, int64_t batch, const Plan& plan,
                    float epsilon, float* mean, float* inverse) {
  const int64_t channels = plan.channels, period = plan.period, image_size = plan.pixels * channels;
  std::vector<float> pivots(batch * period);
  for (int64_t image = 0; image < batch; ++image)
    repeat(x + image * image_size, channels, period, pivots.data() + image * period);
  auto of = [&](auto vector, const Part& part, int64_t row, int64_t k) {
    using V = decltype(vector);
    const V pivot = load<V>(pivots.data() + part.image * period + k);
    const V value = load<V>(x + part.begin + row * period + k) - pivot;
    return std::array<V, 2>{value, value * value};
  };
  const auto sums = channel_sums<2>(pool, batch, plan, of);
  for (int64_t image = 0; image < batch; ++image)
    statistics(sums.data() + image * plan.tasks * 2 * channels, plan.tasks, channels, plan.pixels,
               x + image * image_size, epsilon, mean + image * channels, inverse + image * channels);
}

// The gradients of normalization with LeakyReLU: x [batch, pixels, channels] to y. pull(vector, part, row,
// k) -> dy there, and a weight. Returns sums [tasks][KINDS][channels], of which number 2 is, with KINDS 3,
// that of weight * y.
template <int KINDS, typename Pull>
std::vector<float> norm_gradient(xla::ffi::ThreadPool& pool, const float* x, int64_t batch,
                                 const Plan& plan, const float* scale, const float* bias,
                                 const float* mean, const float* inverse, float slope, const Pull& pull,
                                 float* dx, float* d_scale, float* d_bias) {
  const int64_t channels = plan.channels, period = plan.period;
  const auto terms = z_terms(plan, batch, mean, inverse, scale, bias);
  auto of = [&](auto vector, const Part& part, int64_t row, int64_t k) {
    using V = decltype(vector);
    const float* term = terms.data() + part.image * 3 * period + k;
    const V value = load<V>(x + part.begin + row * period + k) - load<V>(term);
    const V z = value * load<V>(term + period) + load<V>(term + 2 * period), bend = slopes(z, slope);
    const std::array<V, 2> pulled = pull(vector, part, row, k);
    const V dz = pulled[0] * bend;
    std::array<V, KINDS> found{dz, dz * value};
    if constexpr (KINDS == 3) found[2] = pulled[1] * bend * z;
    return found;
  };
  auto sums = channel_sums<KINDS>(pool, batch, plan, of);
  const auto found = coefficients(sums.data(), batch, plan.tasks, KINDS, channels, plan.pixels, scale,
                                  inverse, d_scale, d_bias);
  std::vector<float> abc(batch * 3 * period);
  for (int64_t each = 0; each < batch * 3; ++each)
    repeat(found.data() + each * channels, channels, period, abc.data() + each * period);
  over_parts(pool, batch, plan, [&](auto vector, const Part& part, int64_t row, int64_t k) {
    using V = decltype(vector);
    const float* term = terms.data() + part.image * 3 * period + k;
    const float *a = abc.data() + part.image * 3 * period + k, *b = a + period, *c = b + period;
    const int64_t at = part.begin + row * period + k;
    const V value = load<V>(x + at) - load<V>(term);
    const V z = value * load<V>(term + period) + load<V>(term + 2 * period);
    const V dz = pull(vector, part, row, k)[0] * slopes(z, slope);
    store<V>(dx + at, load<V>(a) * dz + load<V>(b) * value + load<V>(c));
  });
  return sums;
}

}  // namespace covidjax
