// The normalized concatenation of a skip with deeper activations of half the side, which are enlarged
// on the way and never stored.

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

constexpr int64_t BAND = 4;  // rows of `deep` a task

// Sizes of a merge: `skip` [batch, 2 rows, 2 columns, beside], `deep` [batch, rows, columns, deeper].
struct Sizes {
  int64_t batch, rows, columns, deeper, beside;
  int64_t channels() const { return deeper + beside; }
  int64_t wide() const { return 2 * columns; }
  int64_t pixels() const { return 4 * rows * columns; }
  int64_t bands() const { return (rows + BAND - 1) / BAND; }  // tasks of an image
};

Sizes sizes_of(Buffer deep, Buffer skip) {
  const auto d = deep.dimensions();
  return {d[0], d[1], d[2], d[3], skip.dimensions()[3]};
}

// Row `row` of the image `deep` enlarged: `between` has room for a row of `deep`, `to` for the result.
// Bilinear, with pixels' centres half a pixel from the edge (align_corners=False), edges repeated.
void enlarged_row(const float* deep, const Sizes& s, int64_t row, float* __restrict between,
                  float* __restrict to) {
  const int64_t line = s.columns * s.deeper, near = row / 2;
  const int64_t far = std::clamp<int64_t>(row % 2 ? near + 1 : near - 1, 0, s.rows - 1);
  const float* __restrict one = deep + near * line;
  const float* __restrict two = deep + far * line;
  for (int64_t k = 0; k < line; ++k) between[k] = 0.75f * one[k] + 0.25f * two[k];
  for (int64_t j = 0; j < s.columns; ++j) {
    const float* __restrict here = between + j * s.deeper;
    const float* __restrict left = between + std::max<int64_t>(0, j - 1) * s.deeper;
    const float* __restrict right = between + std::min(s.columns - 1, j + 1) * s.deeper;
    float *__restrict even = to + 2 * j * s.deeper, *__restrict odd = even + s.deeper;
    by_vectors(s.deeper, [&](auto kind, int64_t k) {
      using V = decltype(kind);
      const V middle = 0.75f * load<V>(here + k);
      store(even + k, middle + 0.25f * load<V>(left + k));
      store(odd + k, middle + 0.25f * load<V>(right + k));
    });
  }
}

// The transpose: row `row` of `to`, of half the image's width, from the `deeper` channels behind `beside`
// others in the image `from`. `between` has room for a row of them as wide as the image. Beyond the edge
// stands the edge itself, whose weight is its own then.
void narrowed_row(const float* from, const Sizes& s, int64_t row, float* __restrict between,
                  float* __restrict to) {
  auto line = [&](int64_t i) { return from + i * s.wide() * s.channels() + s.beside; };
  const float *one = line(2 * row), *two = line(2 * row + 1);
  const float* above = line(std::max<int64_t>(0, 2 * row - 1));
  const float* below = line(std::min(2 * s.rows - 1, 2 * row + 2));
  for (int64_t j = 0; j < s.wide(); ++j)
    by_vectors(s.deeper, [&](auto kind, int64_t k) {
      using V = decltype(kind);
      const int64_t at = j * s.channels() + k;
      store(between + j * s.deeper + k, 0.75f * (load<V>(one + at) + load<V>(two + at)) +
                                            0.25f * (load<V>(above + at) + load<V>(below + at)));
    });
  for (int64_t j = 0; j < s.columns; ++j) {
    const float *even = between + 2 * j * s.deeper, *odd = even + s.deeper;
    const float* before = j ? even - s.deeper : even;
    const float* after = j + 1 < s.columns ? odd + s.deeper : odd;
    by_vectors(s.deeper, [&](auto kind, int64_t k) {
      using V = decltype(kind);
      store(to + j * s.deeper + k, 0.75f * (load<V>(even + k) + load<V>(odd + k)) +
                                       0.25f * (load<V>(before + k) + load<V>(after + k)));
    });
  }
}

// Row `row` of the image `deep` enlarged and narrowed again: of each axis 5/4 of a pixel and 3/8 of its
// neighbors, 4 in all. With it sums over the enlarged image need only the small one: the product of two
// enlarged images is that of the one and of the other enlarged and narrowed.
void there_and_back(const float* deep, const Sizes& s, int64_t row, float* __restrict between,
                    float* __restrict to) {
  const int64_t line = s.columns * s.deeper;
  const float* __restrict here = deep + row * line;
  const float* __restrict above = deep + std::max<int64_t>(0, row - 1) * line;
  const float* __restrict below = deep + std::min(s.rows - 1, row + 1) * line;
  for (int64_t k = 0; k < line; ++k) between[k] = 1.25f * here[k] + 0.375f * (above[k] + below[k]);
  for (int64_t j = 0; j < s.columns; ++j) {
    const float* middle = between + j * s.deeper;
    const float* left = between + std::max<int64_t>(0, j - 1) * s.deeper;
    const float* right = between + std::min(s.columns - 1, j + 1) * s.deeper;
    by_vectors(s.deeper, [&](auto kind, int64_t k) {
      using V = decltype(kind);
      store(to + j * s.deeper + k,
            1.25f * load<V>(middle + k) + 0.375f * (load<V>(left + k) + load<V>(right + k)));
    });
  }
}

// Adds to the sums `one` and `two` of each channel what of(vector of its kind, pixel, channel) gives for
// `count` pixels.
template <typename Of>
inline void add_sums(int64_t count, int64_t channels, float* one, float* two, const Of& of) {
  by_vectors(channels, [&](auto kind, int64_t k) {
    using V = decltype(kind);
    V first = load<V>(one + k), second = load<V>(two + k);
    for (int64_t pixel = 0; pixel < count; ++pixel) {
      const std::array<V, 2> found = of(kind, pixel, k);
      first += found[0];
      second += found[1];
    }
    store(one + k, first);
    store(two + k, second);
  });
}

struct Task {
  int64_t image, top, bottom;  // rows of `deep`
};

inline Task task_of(const Sizes& s, int64_t task) {
  const int64_t bands = s.bands(), top = task % bands * BAND;
  return {task / bands, top, std::min(s.rows, top + BAND)};
}

ffi::Error merge_forward(ffi::ThreadPool pool, Buffer deep, Buffer skip, Buffer scale, Buffer bias,
                         Result y, Result mean, Result inverse, float epsilon) {
  const Sizes s = sizes_of(deep, skip);
  const int64_t channels = s.channels(), bands = s.bands(), line = s.columns * s.deeper;
  std::vector<float> sums(s.batch * bands * 2 * channels), pivots(s.batch * channels);
  for (int64_t image = 0; image < s.batch; ++image) {
    float* to = pivots.data() + image * channels;
    std::copy_n(skip.typed_data() + image * s.pixels() * s.beside, s.beside, to);
    std::copy_n(deep.typed_data() + image * s.rows * line, s.deeper, to + s.beside);
  }
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const auto [image, top, bottom] = task_of(s, task);
    float *between = scratch(2 * line), *back = between + line;
    float *one = sums.data() + task * 2 * channels, *two = one + channels;
    const float *pivot = pivots.data() + image * channels, *deep_pivot = pivot + s.beside;
    const float* side = skip.typed_data() + (image * s.pixels() + 2 * top * s.wide()) * s.beside;
    add_sums(2 * (bottom - top) * s.wide(), s.beside, one, two, [=](auto kind, int64_t pixel, int64_t k) {
      using V = decltype(kind);
      const V moved = load<V>(side + pixel * s.beside + k) - load<V>(pivot + k);
      return std::array<V, 2>{moved, moved * moved};
    });
    const float* from = deep.typed_data() + image * s.rows * line;
    for (int64_t row = top; row < bottom; ++row) {
      there_and_back(from, s, row, between, back);
      add_sums(s.columns, s.deeper, one + s.beside, two + s.beside,
               [=](auto kind, int64_t pixel, int64_t k) {
        using V = decltype(kind);
        const int64_t at = pixel * s.deeper + k;
        const V moved = load<V>(from + row * line + at) - load<V>(deep_pivot + k);
        return std::array<V, 2>{4.0f * moved, moved * (load<V>(back + at) - 4.0f * load<V>(deep_pivot + k))};
      });
    }
  });
  std::vector<float> terms(s.batch * channels);
  for (int64_t image = 0; image < s.batch; ++image) {
    float *m = mean->typed_data() + image * channels, *v = inverse->typed_data() + image * channels;
    statistics(sums.data() + image * bands * 2 * channels, bands, channels, s.pixels(),
               pivots.data() + image * channels, epsilon, m, v);
    for (int64_t c = 0; c < channels; ++c)
      terms[image * channels + c] = scale.typed_data()[c] * v[c];
  }
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const auto [image, top, bottom] = task_of(s, task);
    float *between = scratch(line + s.wide() * s.deeper), *row = between + line;
    const float* __restrict middle = mean->typed_data() + image * channels;
    const float* __restrict factor = terms.data() + image * channels;
    const float* __restrict shift = bias.typed_data();
    for (int64_t i = 2 * top; i < 2 * bottom; ++i) {
      enlarged_row(deep.typed_data() + image * s.rows * line, s, i, between, row);
      const int64_t first = image * s.pixels() + i * s.wide();
      const float* __restrict side = skip.typed_data() + first * s.beside;
      float* __restrict to = y->typed_data() + first * channels;
      auto normalize = [=](auto value, int64_t j, int64_t c) {
        using V = decltype(value);
        store(to + j * channels + c,
              (value - load<V>(middle + c)) * load<V>(factor + c) + load<V>(shift + c));
      };
      for (int64_t j = 0; j < s.wide(); ++j) {
        by_vectors(s.beside, [&](auto kind, int64_t k) {
          normalize(load<decltype(kind)>(side + j * s.beside + k), j, k);
        });
        by_vectors(s.deeper, [&](auto kind, int64_t k) {
          normalize(load<decltype(kind)>(row + j * s.deeper + k), j, s.beside + k);
        });
      }
    }
  });
  return ffi::Error::Success();
}

// Of deep activations x the gradient of the normalized ones, dz, is narrowed at once: its sums, and
// what becomes of the mean and of the enlarged x, are those of small images then.
ffi::Error merge_backward(ffi::ThreadPool pool, Buffer deep, Buffer skip, Buffer dy, Buffer scale,
                          Buffer mean, Buffer inverse, Result d_deep, Result d_skip, Result d_scale,
                          Result d_bias) {
  const Sizes s = sizes_of(deep, skip);
  const int64_t channels = s.channels(), bands = s.bands(), line = s.columns * s.deeper;
  std::vector<float> sums(s.batch * bands * 2 * channels);
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const auto [image, top, bottom] = task_of(s, task);
    float* between = scratch(s.wide() * s.deeper);
    float *one = sums.data() + task * 2 * channels, *two = one + channels;
    const float* middle = mean.typed_data() + image * channels;
    const int64_t first = image * s.pixels() + 2 * top * s.wide();
    const float *side = skip.typed_data() + first * s.beside, *pulled = dy.typed_data() + first * channels;
    float* beside = d_skip->typed_data() + first * s.beside;
    add_sums(2 * (bottom - top) * s.wide(), s.beside, one, two, [=](auto kind, int64_t pixel, int64_t k) {
      using V = decltype(kind);
      const V dz = load<V>(pulled + pixel * channels + k);
      store(beside + pixel * s.beside + k, dz);
      return std::array<V, 2>{dz, dz * (load<V>(side + pixel * s.beside + k) - load<V>(middle + k))};
    });
    for (int64_t row = top; row < bottom; ++row) {
      const int64_t here = (image * s.rows + row) * line;
      float* to = d_deep->typed_data() + here;
      narrowed_row(dy.typed_data() + image * s.pixels() * channels, s, row, between, to);
      const float* from = deep.typed_data() + here;
      add_sums(s.columns, s.deeper, one + s.beside, two + s.beside,
               [=](auto kind, int64_t pixel, int64_t k) {
        using V = decltype(kind);
        const V dz = load<V>(to + pixel * s.deeper + k);
        const V moved = load<V>(from + pixel * s.deeper + k) - load<V>(middle + s.beside + k);
        return std::array<V, 2>{dz, dz * moved};
      });
    }
  });
  const auto abc = coefficients(sums.data(), s.batch, bands, 2, channels, s.pixels(), scale.typed_data(),
                                inverse.typed_data(), d_scale->typed_data(), d_bias->typed_data());
  parallel_for(pool, s.batch * bands, [&](int64_t task) {
    const auto [image, top, bottom] = task_of(s, task);
    float *between = scratch(2 * line), *back = between + line;
    const float *a = abc.data() + image * 3 * channels, *b = a + channels, *c = b + channels;
    const float* middle = mean.typed_data() + image * channels;
    // dz, which stands in `to` already, becomes the gradient; `value` is of as many pixels as `times`.
    auto finish = [=](auto value, float times, int64_t m, float* to) {
      using V = decltype(value);
      store(to, load<V>(a + m) * load<V>(to) + load<V>(b + m) * (value - times * load<V>(middle + m)) +
                    times * load<V>(c + m));
    };
    const int64_t first = image * s.pixels() + 2 * top * s.wide();
    const float* side = skip.typed_data() + first * s.beside;
    float* beside = d_skip->typed_data() + first * s.beside;
    for (int64_t pixel = 0; pixel < 2 * (bottom - top) * s.wide(); ++pixel)
      by_vectors(s.beside, [&](auto kind, int64_t k) {
        const int64_t at = pixel * s.beside + k;
        finish(load<decltype(kind)>(side + at), 1.0f, k, beside + at);
      });
    for (int64_t row = top; row < bottom; ++row) {
      there_and_back(deep.typed_data() + image * s.rows * line, s, row, between, back);
      float* to = d_deep->typed_data() + (image * s.rows + row) * line;
      for (int64_t j = 0; j < s.columns; ++j)
        by_vectors(s.deeper, [&](auto kind, int64_t k) {
          const int64_t at = j * s.deeper + k;
          finish(load<decltype(kind)>(back + at), 4.0f, s.beside + k, to + at);
        });
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

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
