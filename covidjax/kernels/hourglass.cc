// What lies between the convolutions of the Deep Image Prior's networks, in as few passes over memory
// as there can be: normalisation with LeakyReLU; the normalised concatenation of a skip with deeper
// activations of half the side, which are enlarged on the way and never stored; the skips' own
// products of few columns; the noise on the input.
//
// Arrays are float32, row-major: [batch, height, width, channels], of any number of channels.
// Statistics are of each image by itself. Sums are taken over tasks of a fixed size, in their order,
// so that they do not depend on the number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "parallel.h"
#include "vector.h"
#include "xla/ffi/api/ffi.h"

namespace covidjax {
namespace {

namespace ffi = xla::ffi;
using Buffer = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

constexpr int64_t TASK_FLOATS = 64 * 1024;  // 256 KiB: what a pass leaves in a core's own cache

// Mean and 1 / standard deviation from sums of (x - pivot) and its square; [tasks][2][channels].
void statistics(const std::vector<float>& sums, int64_t first, int64_t tasks, int64_t channels,
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
void coefficients(const std::vector<float>& sums, int64_t first, int64_t tasks, int64_t channels,
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
int64_t period_of(int64_t channels) {
  int64_t period = channels;
  while (period % 16) period += channels;
  return period;
}

void repeat(const float* values, int64_t channels, int64_t period, float* to) {
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

Part part_of(const Plan& plan, int64_t task) {
  const int64_t image = task / plan.tasks, first = task % plan.tasks * plan.at_once;
  return {image, (image * plan.pixels + first) * plan.channels,
          std::min(plan.at_once, plan.pixels - first) * plan.channels};
}

// Cuts a period into groups of WIDE, 2 or 1 vectors, whose terms and sums fit into registers:
// work(vectors, first float of the group, whole periods in `count` floats) for each.
constexpr int WIDE = 4;
template <typename Work>
void by_columns(int64_t count, int64_t period, const Work& work) {
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
void fold(const float* one, const float* two, int64_t channels, int64_t period, float* to) {
  for (int64_t k = 0; k < period; ++k) {
    to[k % channels] += one[k];
    to[channels + k % channels] += two[k];
  }
}

ffi::Error norm_forward(ffi::ThreadPool pool, Buffer x, Buffer scale, Buffer bias, Result y,
                        Result mean, Result inverse, float epsilon, float slope) {
  const auto d = x.dimensions();
  const int64_t batch = d[0], channels = d[3];
  const Plan plan(d[1] * d[2], channels);
  const int64_t period = plan.period;
  std::vector<float> sums(batch * plan.tasks * 2 * channels);
  // Per image: pivot, mean, factor, bias.
  std::vector<float> terms(batch * 4 * period);
  for (int64_t image = 0; image < batch; ++image)
    repeat(x.typed_data() + image * plan.pixels * channels, channels, period,
           terms.data() + image * 4 * period);
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float *from = x.typed_data() + part.begin, *pivot = terms.data() + part.image * 4 * period;
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
  for (int64_t image = 0; image < batch; ++image) {
    float *m = mean->typed_data() + image * channels, *v = inverse->typed_data() + image * channels;
    statistics(sums, image * plan.tasks, plan.tasks, channels, plan.pixels,
               x.typed_data() + image * plan.pixels * channels, epsilon, m, v);
    float* to = terms.data() + (image * 4 + 1) * period;
    for (int64_t k = 0; k < period; ++k) {
      const int64_t c = k % channels;
      to[k] = m[c];
      to[period + k] = scale.typed_data()[c] * v[c];
      to[2 * period + k] = bias.typed_data()[c];
    }
  }
  parallel_for(pool, batch * plan.tasks, [&](int64_t task) {
    const Part part = part_of(plan, task);
    const float* from = x.typed_data() + part.begin;
    float* to = y->typed_data() + part.begin;
    const float* middle = terms.data() + (part.image * 4 + 1) * period;
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
  for (int64_t image = 0; image < batch; ++image) {
    float* to = terms.data() + image * 6 * period;
    for (int64_t k = 0; k < period; ++k) {
      const int64_t c = k % channels, at = image * channels + c;
      to[k] = mean.typed_data()[at];
      to[period + k] = scale.typed_data()[c] * inverse.typed_data()[at];
      to[2 * period + k] = bias.typed_data()[c];
    }
  }
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

// Sizes of a merge: `skip` [batch, 2 rows, 2 columns, beside], `deep` [batch, rows, columns, deeper].
struct Sizes {
  int64_t batch, rows, columns, deeper, beside;
  int64_t channels() const { return deeper + beside; }
  int64_t wide() const { return 2 * columns; }
  int64_t pixels() const { return 4 * rows * columns; }
};

Sizes sizes_of(Buffer deep, Buffer skip) {
  const auto d = deep.dimensions();
  return {d[0], d[1], d[2], d[3], skip.dimensions()[3]};
}

// work(k) for vectors of channels from k on, rest(k) for single ones behind them.
template <typename Work, typename Rest>
inline void over_channels(int64_t count, const Work& work, const Rest& rest) {
  int64_t k = 0;
  for (; k + LANES <= count; k += LANES) work(k);
  for (; k < count; ++k) rest(k);
}

// Row `row` of the enlarged image: `between` has room for a row of `deep`, `to` for the result.
// Bilinear, with pixels' centres half a pixel from the edge (align_corners=False), edges repeated.
void enlarged_row(const float* deep, const Sizes& s, int64_t image, int64_t row,
                  float* __restrict between, float* __restrict to) {
  const int64_t line = s.columns * s.deeper, near = row / 2;
  const int64_t far = std::clamp<int64_t>(row % 2 ? near + 1 : near - 1, 0, s.rows - 1);
  const float* __restrict one = deep + (image * s.rows + near) * line;
  const float* __restrict two = deep + (image * s.rows + far) * line;
  for (int64_t k = 0; k < line; ++k) between[k] = 0.75f * one[k] + 0.25f * two[k];
  for (int64_t j = 0; j < s.columns; ++j) {
    const float* __restrict here = between + j * s.deeper;
    const float* __restrict left = between + std::max<int64_t>(0, j - 1) * s.deeper;
    const float* __restrict right = between + std::min(s.columns - 1, j + 1) * s.deeper;
    float *__restrict even = to + 2 * j * s.deeper, *__restrict odd = even + s.deeper;
    over_channels(
        s.deeper,
        [&](int64_t k) {
          const Vector middle = 0.75f * load(here + k);
          store(even + k, middle + 0.25f * load(left + k));
          store(odd + k, middle + 0.25f * load(right + k));
        },
        [&](int64_t k) {
          even[k] = 0.75f * here[k] + 0.25f * left[k];
          odd[k] = 0.75f * here[k] + 0.25f * right[k];
        });
  }
}

// The transpose of its second half: a row as wide as the image, to half the width.
void narrowed_row(const float* __restrict from, const Sizes& s, float* __restrict to) {
  for (int64_t j = 0; j < s.columns; ++j) {
    const float *__restrict even = from + 2 * j * s.deeper, *__restrict odd = even + s.deeper;
    // Beyond the edge stands the edge itself, whose weight is its own then.
    const float* __restrict before = j ? even - s.deeper : even;
    const float* __restrict after = j + 1 < s.columns ? odd + s.deeper : odd;
    float* __restrict sum = to + j * s.deeper;
    over_channels(
        s.deeper,
        [&](int64_t k) {
          store(sum + k, 0.75f * (load(even + k) + load(odd + k)) +
                             0.25f * (load(before + k) + load(after + k)));
        },
        [&](int64_t k) { sum[k] = 0.75f * (even[k] + odd[k]) + 0.25f * (before[k] + after[k]); });
  }
}

constexpr int64_t BAND = 4;  // rows of `deep` a task

ffi::Error merge_forward(ffi::ThreadPool pool, Buffer deep, Buffer skip, Buffer scale, Buffer bias,
                         Result y, Result mean, Result inverse, float epsilon) {
  const Sizes s = sizes_of(deep, skip);
  const int64_t channels = s.channels(), bands = (s.rows + BAND - 1) / BAND;
  std::vector<float> sums(s.batch * bands * 2 * channels), pivots(s.batch * channels);
  for (int64_t image = 0; image < s.batch; ++image) {
    const float* one = skip.typed_data() + image * s.pixels() * s.beside;
    const float* two = deep.typed_data() + image * s.rows * s.columns * s.deeper;
    std::copy(one, one + s.beside, pivots.data() + image * channels);
    std::copy(two, two + s.deeper, pivots.data() + image * channels + s.beside);
  }
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const int64_t image = task / bands, top = task % bands * BAND;
    const int64_t bottom = std::min(s.rows, top + BAND);
    std::vector<float> space((s.columns + s.wide()) * s.deeper), both(2 * channels);
    float *between = space.data(), *row = between + s.columns * s.deeper;
    const float* __restrict pivot = pivots.data() + image * channels;
    float *__restrict one = both.data(), *__restrict two = one + channels;
    for (int64_t i = 2 * top; i < 2 * bottom; ++i) {
      enlarged_row(deep.typed_data(), s, image, i, between, row);
      const float* __restrict side =
          skip.typed_data() + (image * 2 * s.rows + i) * s.wide() * s.beside;
      for (int64_t j = 0; j < s.wide(); ++j) {
        for (int64_t k = 0; k < s.beside; ++k) {
          const float value = side[j * s.beside + k] - pivot[k];
          one[k] += value;
          two[k] += value * value;
        }
        const float* __restrict from = row + j * s.deeper;
        float *first = one + s.beside, *second = two + s.beside;
        const float* base = pivot + s.beside;
        over_channels(
            s.deeper,
            [&](int64_t k) {
              const Vector value = load(from + k) - load(base + k);
              store(first + k, load(first + k) + value);
              store(second + k, load(second + k) + value * value);
            },
            [&](int64_t k) {
              const float value = from[k] - base[k];
              first[k] += value;
              second[k] += value * value;
            });
      }
    }
    std::copy(both.begin(), both.end(), sums.begin() + task * 2 * channels);
  });
  std::vector<float> terms(s.batch * channels);
  for (int64_t image = 0; image < s.batch; ++image) {
    float *m = mean->typed_data() + image * channels, *v = inverse->typed_data() + image * channels;
    statistics(sums, image * bands, bands, channels, s.pixels(), pivots.data() + image * channels,
               epsilon, m, v);
    for (int64_t c = 0; c < channels; ++c)
      terms[image * channels + c] = scale.typed_data()[c] * v[c];
  }
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const int64_t image = task / bands, top = task % bands * BAND;
    const int64_t bottom = std::min(s.rows, top + BAND);
    std::vector<float> space((s.columns + s.wide()) * s.deeper);
    float *between = space.data(), *row = between + s.columns * s.deeper;
    const float* __restrict middle = mean->typed_data() + image * channels;
    const float* __restrict factor = terms.data() + image * channels;
    const float* __restrict shift = bias.typed_data();
    for (int64_t i = 2 * top; i < 2 * bottom; ++i) {
      enlarged_row(deep.typed_data(), s, image, i, between, row);
      const int64_t first = (image * 2 * s.rows + i) * s.wide();
      const float* __restrict side = skip.typed_data() + first * s.beside;
      float* __restrict to = y->typed_data() + first * channels;
      for (int64_t j = 0; j < s.wide(); ++j, to += channels) {
        for (int64_t k = 0; k < s.beside; ++k)
          to[k] = (side[j * s.beside + k] - middle[k]) * factor[k] + shift[k];
        const float* __restrict from = row + j * s.deeper;
        over_channels(
            s.deeper,
            [&](int64_t k) {
              const int64_t m = s.beside + k;
              store(to + m, (load(from + k) - load(middle + m)) * load(factor + m) + load(shift + m));
            },
            [&](int64_t k) {
              const int64_t m = s.beside + k;
              to[m] = (from[k] - middle[m]) * factor[m] + shift[m];
            });
      }
    }
  });
  return ffi::Error::Success();
}

ffi::Error merge_backward(ffi::ThreadPool pool, Buffer deep, Buffer skip, Buffer dy, Buffer scale,
                          Buffer mean, Buffer inverse, Result d_deep, Result d_skip, Result d_scale,
                          Result d_bias) {
  const Sizes s = sizes_of(deep, skip);
  const int64_t channels = s.channels(), bands = (s.rows + BAND - 1) / BAND;
  std::vector<float> sums(s.batch * bands * 2 * channels), abc(s.batch * 3 * channels);
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const int64_t image = task / bands, top = task % bands * BAND;
    const int64_t bottom = std::min(s.rows, top + BAND);
    std::vector<float> space((s.columns + s.wide()) * s.deeper), both(2 * channels);
    float *between = space.data(), *row = between + s.columns * s.deeper;
    const float* __restrict middle = mean.typed_data() + image * channels;
    float *__restrict one = both.data(), *__restrict two = one + channels;
    for (int64_t i = 2 * top; i < 2 * bottom; ++i) {
      enlarged_row(deep.typed_data(), s, image, i, between, row);
      const int64_t first = (image * 2 * s.rows + i) * s.wide();
      const float* __restrict side = skip.typed_data() + first * s.beside;
      const float* __restrict pulled = dy.typed_data() + first * channels;
      for (int64_t j = 0; j < s.wide(); ++j, pulled += channels) {
        for (int64_t k = 0; k < s.beside; ++k) {
          one[k] += pulled[k];
          two[k] += pulled[k] * (side[j * s.beside + k] - middle[k]);
        }
        const float* __restrict from = row + j * s.deeper;
        over_channels(
            s.deeper,
            [&](int64_t k) {
              const int64_t m = s.beside + k;
              const Vector dz = load(pulled + m);
              store(one + m, load(one + m) + dz);
              store(two + m, load(two + m) + dz * (load(from + k) - load(middle + m)));
            },
            [&](int64_t k) {
              const int64_t m = s.beside + k;
              one[m] += pulled[m];
              two[m] += pulled[m] * (from[k] - middle[m]);
            });
      }
    }
    std::copy(both.begin(), both.end(), sums.begin() + task * 2 * channels);
  });
  std::fill(d_scale->typed_data(), d_scale->typed_data() + channels, 0.0f);
  std::fill(d_bias->typed_data(), d_bias->typed_data() + channels, 0.0f);
  for (int64_t image = 0; image < s.batch; ++image) {
    float* to = abc.data() + image * 3 * channels;
    coefficients(sums, image * bands, bands, channels, s.pixels(), scale.typed_data(),
                 inverse.typed_data() + image * channels, to,
                 to + channels, to + 2 * channels, d_scale->typed_data(), d_bias->typed_data());
  }
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const int64_t image = task / bands, top = task % bands * BAND;
    const int64_t bottom = std::min(s.rows, top + BAND), line = s.columns * s.deeper;
    std::vector<float> space(2 * line + s.wide() * s.deeper);
    float *between = space.data(), *half = between + line, *row = half + line;
    const float *__restrict a = abc.data() + image * 3 * channels, *__restrict b = a + channels;
    const float *__restrict c = b + channels, *__restrict middle = mean.typed_data() + image * channels;
    float* deeper = d_deep->typed_data() + image * s.rows * line;
    std::fill(deeper + top * line, deeper + bottom * line, 0.0f);
    // The rows of this band, and those above and below that reach into it.
    const int64_t last = std::min(2 * s.rows, 2 * bottom + 1);
    for (int64_t i = std::max<int64_t>(0, 2 * top - 1); i < last; ++i) {
      enlarged_row(deep.typed_data(), s, image, i, between, row);
      const int64_t first = (image * 2 * s.rows + i) * s.wide();
      const float* __restrict side = skip.typed_data() + first * s.beside;
      const float* __restrict pulled = dy.typed_data() + first * channels;
      float* __restrict beside = d_skip->typed_data() + first * s.beside;
      const bool ours = i >= 2 * top && i < 2 * bottom;
      for (int64_t j = 0; j < s.wide(); ++j, pulled += channels) {
        if (ours)
          for (int64_t k = 0; k < s.beside; ++k)
            beside[j * s.beside + k] =
                a[k] * pulled[k] + b[k] * (side[j * s.beside + k] - middle[k]) + c[k];
        float* __restrict to = row + j * s.deeper;
        over_channels(
            s.deeper,
            [&](int64_t k) {
              const int64_t m = s.beside + k;
              const Vector value = load(to + k) - load(middle + m);
              store(to + k, load(a + m) * load(pulled + m) + load(b + m) * value + load(c + m));
            },
            [&](int64_t k) {
              const int64_t m = s.beside + k;
              to[k] = a[m] * pulled[m] + b[m] * (to[k] - middle[m]) + c[m];
            });
      }
      narrowed_row(row, s, half);
      const int64_t near = i / 2;
      const int64_t far = std::clamp<int64_t>(i % 2 ? near + 1 : near - 1, 0, s.rows - 1);
      for (const auto& [at, weight] : {std::pair{near, 0.75f}, std::pair{far, 0.25f}}) {
        if (at < top || at >= bottom) continue;
        float* __restrict to = deeper + at * line;
        for (int64_t k = 0; k < line; ++k) to[k] += weight * half[k];
      }
    }
  });
  return ffi::Error::Success();
}

typedef uint32_t Bits __attribute__((vector_size(LANES * 4)));

// Mixes 32 bits thoroughly (Chris Wellons' "lowbias32").
inline Bits mixed(Bits h) {
  h ^= h >> 16;
  h *= 0x7feb352dU;
  h ^= h >> 15;
  h *= 0x846ca68bU;
  return h ^ (h >> 16);
}

// Natural logarithm of normal numbers above 0, to 2e-7 relative: exponent, and the series of
// atanh((m - 1) / (m + 1)) for the mantissa m of [sqrt(1/2), sqrt(2)).
inline Vector logarithm(Vector x) {
  Bits bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const Bits shifted = bits - 0x3f3504f3U;
  typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
  const Ints exponent = reinterpret_cast<const Ints&>(shifted) >> 23;
  bits = (shifted & 0x7fffffU) + 0x3f3504f3U;
  Vector m;
  __builtin_memcpy(&m, &bits, sizeof m);
  const Vector t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
  const Vector series = 2.0f + t2 * (0.66666667f + t2 * (0.4f + t2 * (0.28571429f + t2 * 0.22222222f)));
  return __builtin_convertvector(exponent, Vector) * 0.69314718f + t * series;
}

// Square roots of normal numbers above 0: Newton's iteration on 1 / sqrt(x), from the famous guess.
inline Vector root(Vector x) {
  Bits bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  bits = 0x5f3759dfU - (bits >> 1);
  Vector y;
  __builtin_memcpy(&y, &bits, sizeof y);
  for (int i = 0; i < 3; ++i) y *= 1.5f - 0.5f * x * y * y;
  return x * y;
}

// Standard normal numbers of uniform bits: sqrt(2) erfinv (Giles 2010, "Approximating the erfinv
// function"), the far tail apart.
inline Vector normal(Bits bits) {
  typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
  const Ints top = reinterpret_cast<const Ints&>(bits) >> 8;  // -2^23 to 2^23 - 1
  const Vector u = (__builtin_convertvector(top, Vector) + 0.5f) * 1.1920929e-7f;  // in (-1, 1)
  const Vector w = -logarithm((1.0f - u) * (1.0f + u));
  const Vector c = w - 2.5f;
  Vector p = Vector{} + 2.81022636e-08f;
  for (float k : {3.43273939e-07f, -3.5233877e-06f, -4.39150654e-06f, 0.00021858087f, -0.00125372503f,
                  -0.00417768164f, 0.246640727f, 1.50140941f})
    p = p * c + k;
  const auto tail = w >= 5.0f;
  uint64_t words[LANES / 2], far = 0;
  __builtin_memcpy(words, &tail, sizeof words);
  for (const uint64_t word : words) far |= word;
  if (far) {
    const Vector d = root(w) - 3.0f;
    Vector q = Vector{} - 0.000200214257f;
    for (float k : {0.000100950558f, 0.00134934322f, -0.00367342844f, 0.00573950773f, -0.0076224613f,
                    0.00943887047f, 1.00167406f, 2.83297682f})
      q = q * d + k;
    p = w < 5.0f ? p : q;
  }
  return 1.41421356f * p * u;
}

// A product with few columns, as a skip's 1 x 1 convolution is: x [pixels, in], matrix [in, out].
// `in` is a multiple of LANES, `out` at most 4.
ffi::Error few_forward(ffi::ThreadPool pool, Buffer x, Buffer matrix, Result y) {
  const auto m = matrix.dimensions();
  const int64_t in = m[0], out = m[1], pixels = x.element_count() / in;
  std::vector<float> filled(in * LANES);
  for (int64_t i = 0; i < in; ++i)
    std::copy_n(matrix.typed_data() + i * out, out, filled.data() + i * LANES);
  constexpr int64_t AT_ONCE = ROWS * 32;
  parallel_for(pool, (pixels + AT_ONCE - 1) / AT_ONCE, [&](int64_t task) {
    const int64_t first = task * AT_ONCE, here = std::min(AT_ONCE, pixels - first);
    float* wide = scratch(AT_ONCE * LANES);
    product<1, false>(here, in, x.typed_data() + first * in, in, 1, filled.data(), LANES, wide, LANES);
    float* to = y->typed_data() + first * out;
    for (int64_t p = 0; p < here; ++p)
      for (int64_t o = 0; o < out; ++o) to[p * out + o] = wide[p * LANES + o];
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
    for (; o + 4 <= out; o += 4) few_sums<4>(from, pulled + o, here, in, out, to + o * in);
    for (; o < out; ++o) few_sums<1>(from, pulled + o, here, in, out, to + o * in);
  });
  for (int64_t k = 0; k < in * out; ++k) {
    double sum = 0;
    for (int64_t task = 0; task < tasks; ++task) sum += sums[task * in * out + k];
    gradient->typed_data()[k % in * out + k / in] = static_cast<float>(sum);
  }
  return ffi::Error::Success();
}

// x + deviation * normal noise; `key` are two numbers. A number of the noise depends on the key and
// its own place alone.
ffi::Error perturb(ffi::ThreadPool pool, Buffer x, ffi::Buffer<ffi::U32> key, Result y,
                   float deviation) {
  int64_t count = 1;
  for (const int64_t size : x.dimensions()) count *= size;
  const uint32_t one = key.typed_data()[0], two = key.typed_data()[1];
  constexpr int64_t AT_ONCE = 16 * 1024;
  parallel_for(pool, (count + AT_ONCE - 1) / AT_ONCE, [&](int64_t task) {
    const int64_t end = std::min(count, (task + 1) * AT_ONCE);
    Bits places;
    for (int lane = 0; lane < LANES; ++lane) places[lane] = lane;
    for (int64_t at = task * AT_ONCE; at < end; at += LANES) {
      const Bits place = places + static_cast<uint32_t>(at);
      const Vector noise = normal(mixed(mixed(place ^ one) + two));
      if (at + LANES <= end) {
        store(y->typed_data() + at, load(x.typed_data() + at) + deviation * noise);
        continue;
      }
      for (int64_t k = at; k < end; ++k)
        y->typed_data()[k] = x.typed_data()[k] + deviation * noise[k - at];
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

#define COVIDJAX_ARG .Arg<xla::ffi::Buffer<xla::ffi::F32>>()
#define COVIDJAX_RET .Ret<xla::ffi::Buffer<xla::ffi::F32>>()

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
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_merge_forward, covidjax::merge_forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<float>("epsilon"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_merge_backward, covidjax::merge_backward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET);
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_perturb, covidjax::perturb,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG.Arg<xla::ffi::Buffer<xla::ffi::U32>>()
                                  COVIDJAX_RET.Attr<float>("deviation"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_few_forward, covidjax::few_forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_RET);
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_few_input_gradient, covidjax::few_input_gradient,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_RET);
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_few_kernel_gradient, covidjax::few_kernel_gradient,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_RET);
