// The normalised concatenation of a skip with deeper activations of half the side, which are enlarged
// on the way and never stored.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "buffers.h"
#include "normalize.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

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
    by_vectors(s.deeper, [&](auto kind, int64_t k) {
      using V = decltype(kind);
      const V middle = 0.75f * load<V>(here + k);
      store(even + k, middle + 0.25f * load<V>(left + k));
      store(odd + k, middle + 0.25f * load<V>(right + k));
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
    by_vectors(s.deeper, [&](auto kind, int64_t k) {
      using V = decltype(kind);
      store(sum + k, 0.75f * (load<V>(even + k) + load<V>(odd + k)) +
                         0.25f * (load<V>(before + k) + load<V>(after + k)));
    });
  }
}

// work(values, their channel) for a pixel of the skip and the enlarged one beside it.
template <typename Work>
inline void over_both(const Sizes& s, const float* beside, const float* deep, const Work& work) {
  by_vectors(s.beside, [&](auto kind, int64_t k) { work(load<decltype(kind)>(beside + k), k); });
  by_vectors(s.deeper, [&](auto kind, int64_t k) {
    work(load<decltype(kind)>(deep + k), s.beside + k);
  });
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
        over_both(s, side + j * s.beside, row + j * s.deeper, [&](auto value, int64_t c) {
          using V = decltype(value);
          const V moved = value - load<V>(pivot + c);
          store(one + c, load<V>(one + c) + moved);
          store(two + c, load<V>(two + c) + moved * moved);
        });
      }
    }
    std::copy(both.begin(), both.end(), sums.begin() + task * 2 * channels);
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
        over_both(s, side + j * s.beside, row + j * s.deeper, [&](auto value, int64_t c) {
          using V = decltype(value);
          store(to + c, (value - load<V>(middle + c)) * load<V>(factor + c) + load<V>(shift + c));
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
        over_both(s, side + j * s.beside, row + j * s.deeper, [&](auto value, int64_t c) {
          using V = decltype(value);
          const V dz = load<V>(pulled + c);
          store(one + c, load<V>(one + c) + dz);
          store(two + c, load<V>(two + c) + dz * (value - load<V>(middle + c)));
        });
      }
    }
    std::copy(both.begin(), both.end(), sums.begin() + task * 2 * channels);
  });
  std::fill(d_scale->typed_data(), d_scale->typed_data() + channels, 0.0f);
  std::fill(d_bias->typed_data(), d_bias->typed_data() + channels, 0.0f);
  for (int64_t image = 0; image < s.batch; ++image) {
    float* to = abc.data() + image * 3 * channels;
    coefficients(sums.data() + image * bands * 2 * channels, bands, 2, channels, s.pixels(),
                 scale.typed_data(), inverse.typed_data() + image * channels, to,
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
        auto gradient = [&](auto value, int64_t m) {
          using V = decltype(value);
          const V moved = value - load<V>(middle + m);
          return load<V>(a + m) * load<V>(pulled + m) + load<V>(b + m) * moved + load<V>(c + m);
        };
        if (ours)
          by_vectors(s.beside, [&](auto kind, int64_t k) {
            const int64_t at = j * s.beside + k;
            store(beside + at, gradient(load<decltype(kind)>(side + at), k));
          });
        float* __restrict to = row + j * s.deeper;
        by_vectors(s.deeper, [&](auto kind, int64_t k) {
          store(to + k, gradient(load<decltype(kind)>(to + k), s.beside + k));
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
