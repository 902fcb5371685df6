// Statistics of each image by itself, and passes over activations with terms of their own per channel.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "parallel.h"
#include "vector.h"

namespace covidjax {

constexpr int64_t TASK_FLOATS = 64 * 1024;  // 256 KiB: what a pass leaves in a core's own cache

// Mean and 1 / standard deviation from sums of (x - pivot) and its square; [tasks][2][channels].
inline void statistics(const std::vector<float>& sums, int64_t first, int64_t tasks, int64_t channels,
                int64_t pixels, const float* pivot, float epsilon, float* mean, float* inverse) {
  for (int64_t c = 0; c < channels; ++c) {
    double one = 0, two = 0;
    for (int64_t t = first; t < first + tasks; ++t) {
      one += sums[(2 * t) * channels + c];
      two += sums[(2 * t + 1) * channels + c];
    }
    one /= pixels;
    const double variance = std::max(0.0, two / pixels - one * one);
    mean[c] = static_cast<float>(pivot[c] + one);
    inverse[c] = static_cast<float>(1 / std::sqrt(variance + epsilon));
  }
}

// Of the gradient dx = a dz + b (x - mean) + c, per channel; adds to the gradients of scale and bias.
// sums: [tasks][2][channels] of dz and dz * (x - mean).
inline void coefficients(const std::vector<float>& sums, int64_t first, int64_t tasks, int64_t channels,
                  int64_t pixels, const float* scale, const float* inverse, float* a, float* b,
                  float* c, float* d_scale, float* d_bias) {
  for (int64_t k = 0; k < channels; ++k) {
    double plain = 0, moved = 0;
    for (int64_t t = first; t < first + tasks; ++t) {
      plain += sums[(2 * t) * channels + k];
      moved += sums[(2 * t + 1) * channels + k];
    }
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

inline Vector leaky(Vector z, float slope) { return z > 0 ? z : slope * z; }
inline Vector slopes(Vector z, float slope) {
  return z > 0 ? Vector{} + 1.0f : Vector{} + slope;
}

// Sums over the rows of a period, folded into [2][channels].
inline void fold(const float* one, const float* two, int64_t channels, int64_t period, float* to) {
  for (int64_t k = 0; k < period; ++k) {
    to[k % channels] += one[k];
    to[channels + k % channels] += two[k];
  }
}

// What z = (x - mean) * factor + bias takes of an image, for a period each: mean, factor, bias.
inline void z_terms(const Plan& plan, const float* mean, const float* inverse, const float* scale,
                    const float* bias, float* to) {
  for (int64_t k = 0; k < plan.period; ++k) {
    const int64_t c = k % plan.channels;
    to[k] = mean[c];
    to[plan.period + k] = scale[c] * inverse[c];
    to[2 * plan.period + k] = bias[c];
  }
}

// Mean and 1 / standard deviation of each image's channels, [batch][channels].
inline void moments(xla::ffi::ThreadPool& pool, const float* x, int64_t batch, const Plan& plan,
                    float epsilon, float* mean, float* inverse) {
  const int64_t channels = plan.channels, period = plan.period, image_size = plan.pixels * channels;
  std::vector<float> sums(batch * plan.tasks * 2 * channels), pivots(batch * period);
  for (int64_t image = 0; image < batch; ++image)
    repeat(x + image * image_size, channels, period, pivots.data() + image * period);
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float *from = x + part.begin, *pivot = pivots.data() + part.image * period;
    std::vector<float> space(2 * period);
    float *one = space.data(), *two = one + period;
    by_columns(part.count, period, [&](auto vectors, int64_t group, int64_t rows) {
      constexpr int N = vectors;
      Vector middle[N], first[N], second[N];
      for (int n = 0; n < N; ++n) {
        middle[n] = load(pivot + group + n * LANES);
        first[n] = second[n] = Vector{};
      }
      const float* at = from + group;
      for (int64_t row = 0; row < rows; ++row, at += period)
        for (int n = 0; n < N; ++n) {
          const Vector value = load(at + n * LANES) - middle[n];
          first[n] += value;
          second[n] += value * value;
        }
      for (int n = 0; n < N; ++n) {
        store(one + group + n * LANES, first[n]);
        store(two + group + n * LANES, second[n]);
      }
    });
    for (int64_t at = part.count / period * period, k = 0; at + k < part.count; ++k) {
      const float value = from[at + k] - pivot[k];
      one[k] += value;
      two[k] += value * value;
    }
    fold(one, two, channels, period, sums.data() + task * 2 * channels);
  });
  for (int64_t image = 0; image < batch; ++image)
    statistics(sums, image * plan.tasks, plan.tasks, channels, plan.pixels, x + image * image_size,
               epsilon, mean + image * channels, inverse + image * channels);
}

}  // namespace covidjax
