// Winograd's F(4 x 4, 3 x 3): tiles of images, of gradients and of results. See winograd.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "vector.h"

namespace covidjax {

constexpr int TILE = 6, OUTPUTS = 4, TAPS = 3, PLANES = TILE * TILE;
// The interpolation points 0, +-P, +-Q and infinity.
constexpr float P = 0.625f, Q = 1.5f, P2 = P * P, Q2 = Q * Q;

// B^T d of six values, `step` apart.
template <typename V>
inline void to_tile(const V* d, int step, V* to, int to_step) {
  const V even_p = d[4 * step] - Q2 * d[2 * step], odd_p = P * (d[3 * step] - Q2 * d[step]);
  const V even_q = d[4 * step] - P2 * d[2 * step], odd_q = Q * (d[3 * step] - P2 * d[step]);
  to[0] = P2 * Q2 * d[0] - (P2 + Q2) * d[2 * step] + d[4 * step];
  to[to_step] = even_p + odd_p;
  to[2 * to_step] = even_p - odd_p;
  to[3 * to_step] = even_q + odd_q;
  to[4 * to_step] = even_q - odd_q;
  to[5 * to_step] = P2 * Q2 * d[step] - (P2 + Q2) * d[3 * step] + d[5 * step];
}

// A^T m of six values.
template <typename V>
inline void from_tile(const V* m, int step, V* to, int to_step) {
  const V sum_p = m[step] + m[2 * step], difference_p = m[step] - m[2 * step];
  const V sum_q = m[3 * step] + m[4 * step], difference_q = m[3 * step] - m[4 * step];
  to[0] = m[0] + sum_p + sum_q;
  to[to_step] = P * difference_p + Q * difference_q;
  to[2 * to_step] = P2 * sum_p + Q2 * sum_q;
  to[3 * to_step] = P * P2 * difference_p + Q * Q2 * difference_q + m[5 * step];
}

// A y of four values: the transpose of from_tile.
template <typename V>
inline void spread(const V* y, int step, V* to, int to_step) {
  const V even_p = y[0] + P2 * y[2 * step], odd_p = P * y[step] + P * P2 * y[3 * step];
  const V even_q = y[0] + Q2 * y[2 * step], odd_q = Q * y[step] + Q * Q2 * y[3 * step];
  to[0] = y[0];
  to[to_step] = even_p + odd_p;
  to[2 * to_step] = even_p - odd_p;
  to[3 * to_step] = even_q + odd_q;
  to[4 * to_step] = even_q - odd_q;
  to[5 * to_step] = y[3 * step];
}

// The products' weights of the points: 1 / prod(point - other points).
constexpr float AT_0 = 1 / (P2 * Q2), AT_P = 1 / (2 * P2 * (P2 - Q2)), AT_Q = 1 / (2 * Q2 * (Q2 - P2));

// G w of three values.
template <typename V>
inline void kernel_to_tile(const V* w, int step, V* to, int to_step) {
  const V even_p = AT_P * (w[0] + P2 * w[2 * step]), odd_p = AT_P * P * w[step];
  const V even_q = AT_Q * (w[0] + Q2 * w[2 * step]), odd_q = AT_Q * Q * w[step];
  to[0] = AT_0 * w[0];
  to[to_step] = even_p + odd_p;
  to[2 * to_step] = even_p - odd_p;
  to[3 * to_step] = even_q + odd_q;
  to[4 * to_step] = even_q - odd_q;
  to[5 * to_step] = w[2 * step];
}

// G^T u of six values: the transpose of kernel_to_tile.
template <typename V>
inline void kernel_from_tile(const V* u, int step, V* to, int to_step) {
  const V sum_p = AT_P * (u[step] + u[2 * step]), sum_q = AT_Q * (u[3 * step] + u[4 * step]);
  to[0] = AT_0 * u[0] + sum_p + sum_q;
  to[to_step] = AT_P * P * (u[step] - u[2 * step]) + AT_Q * Q * (u[3 * step] - u[4 * step]);
  to[2 * to_step] = P2 * sum_p + Q2 * sum_q + u[5 * step];
}

// Channels of a tile: a multiple of LANES.
inline int64_t filled(int64_t channels) { return (channels + LANES - 1) / LANES * LANES; }

// Those of them that are worked on: all, or FEW where no more are left beside whole panels.
inline int64_t covered(int64_t channels) {
  const int64_t left = channels % (COLUMNS * LANES);
  return left && left <= FEW ? channels - left + FEW : filled(channels);
}

// work(a vector of its kind, first channel, whether all its lanes are channels) for vectors that cover
// the channels.
template <typename Work>
inline void over_tile(int64_t channels, const Work& work) {
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES) work(Vector{}, c, std::true_type());
  if (c == channels) return;
  if (covered(channels) - c == FEW)
    work(Short{}, c, std::false_type());
  else
    work(Vector{}, c, std::false_type());
}

struct Shape {
  int64_t batch, height, width;
  bool mirror = false;  // what lies beyond the image's edge: its reflection, or zeros
  int64_t rows() const { return (height + OUTPUTS - 1) / OUTPUTS; }
  int64_t columns() const { return (width + OUTPUTS - 1) / OUTPUTS; }
  int64_t tiles() const { return batch * rows() * columns(); }
};

// From one plane of tiles to the next: a margin keeps planes from all falling on the same lines of the cache.
inline int64_t plane_size(int64_t tiles, int64_t row) { return tiles * row + LANES; }

struct Place {  // of a tile's first output pixel
  int64_t image, top, left;
};

inline Place place(const Shape& shape, int64_t tile) {
  const int64_t columns = shape.columns(), rows = shape.rows();
  return {tile / (rows * columns), tile / columns % rows * OUTPUTS, tile % columns * OUTPUTS};
}

// The first `count` of a vector, zeros behind them. WHOLE: there are always as many as it has lanes.
template <typename V, bool WHOLE>
inline V load_some(const float* from, int64_t count) {
  if (WHOLE || count >= lanes<V>) return load<V>(from);
  float values[lanes<V>] = {};
  std::copy(from, from + count, values);
  return load<V>(values);
}

template <bool WHOLE, typename V>
inline void store_some(float* to, V value, int64_t count) {
  if (WHOLE || count >= lanes<V>) return store(to, value);
  float values[lanes<V>];
  store(values, value);
  std::copy(values, values + count, to);
}

// Where a row or column that may lie one beyond the edge is read; -1 where there is nothing.
inline int64_t read_at(int64_t at, int64_t size, bool mirror) {
  if (at >= 0 && at < size) return at;
  return !mirror || at < -1 || at > size ? -1 : at < 0 ? 1 : size - 2;
}

// use(pixel) with pixel(i, j) -> a vector of channels from c on, for SIDE x SIDE pixels from (top, left)
// on.
template <typename V, int SIDE, bool WHOLE, typename Use>
inline void with_pixels(const float* images, const Shape& shape, int64_t channels, int64_t c,
                        int64_t image, int64_t top, int64_t left, const Use& use) {
  const float* pixels = images + image * shape.height * shape.width * channels + c;
  const float* corner = pixels + (top * shape.width + left) * channels;
  const bool inside = top >= 0 && left >= 0 && top + SIDE <= shape.height && left + SIDE <= shape.width;
  // Whole vectors are read where the array has so many numbers; what they hold beyond the pixel's
  // channels meets no weight.
  const float* end = images + shape.batch * shape.height * shape.width * channels;
  const float* last = corner + ((SIDE - 1) * shape.width + SIDE - 1) * channels;
  if (inside && (WHOLE || last + lanes<V> <= end))
    return use([&](int i, int j) { return load<V>(corner + (i * shape.width + j) * channels); });
  int64_t rows[SIDE], columns[SIDE];  // where they begin; below 0 where there is nothing
  for (int i = 0; i < SIDE; ++i) {
    rows[i] = read_at(top + i, shape.height, shape.mirror) * shape.width * channels;
    columns[i] = read_at(left + i, shape.width, shape.mirror) * channels;
  }
  use([&](int i, int j) {
    if (rows[i] < 0 || columns[j] < 0) return V{};
    return load_some<V, WHOLE>(pixels + rows[i] + columns[j], channels - c);
  });
}

// Asks for the pixels that the next tile to the right adds: a tile's rows lie too far apart for the
// processor to foresee them.
template <int SIDE>
inline void fetch_next(const float* images, const Shape& shape, int64_t channels, int64_t image,
                       int64_t top, int64_t left) {
  constexpr int64_t LINE = 16;
  const int64_t first = left + SIDE, last = std::min(first + OUTPUTS, shape.width);
  const int64_t end = std::min(top + SIDE, shape.height);
  for (int64_t row = std::max<int64_t>(top, 0); row < end; ++row) {
    const float* from = images + ((image * shape.height + row) * shape.width + first) * channels;
    for (int64_t k = 0; k < (last - first) * channels; k += LINE) __builtin_prefetch(from + k);
  }
}

// B^T d B of one tile, to 36 planes.
inline void input_tile(const float* images, const Shape& shape, int64_t channels, int64_t tile, float* to,
                       int64_t plane) {
  const Place at = place(shape, tile);
  fetch_next<TILE>(images, shape, channels, at.image, at.top - 1, at.left - 1);
  over_tile(channels, [=, &shape](auto kind, int64_t c, auto whole) {
    using V = decltype(kind);
    V half[PLANES];
    auto down = [&](const auto& pixel) {
      for (int j = 0; j < TILE; ++j) {
        V column[TILE];
        for (int i = 0; i < TILE; ++i) column[i] = pixel(i, j);
        to_tile(column, 1, half + j, TILE);
      }
    };
    with_pixels<V, TILE, whole>(images, shape, channels, c, at.image, at.top - 1, at.left - 1, down);
    for (int i = 0; i < TILE; ++i) {
      V row[TILE];
      to_tile(half + i * TILE, 1, row, 1);
      for (int j = 0; j < TILE; ++j) store(to + (i * TILE + j) * plane + c, row[j]);
    }
  });
}

// A^T m A of one tile, from 36 planes, to its pixels.
inline void output_tile(const float* from, int64_t plane, const Shape& shape, int64_t channels,
                        int64_t tile, float* images) {
  const Place at = place(shape, tile);
  const int64_t high = std::min<int64_t>(OUTPUTS, shape.height - at.top);
  const int64_t wide = std::min<int64_t>(OUTPUTS, shape.width - at.left);
  float* corner = images + ((at.image * shape.height + at.top) * shape.width + at.left) * channels;
  over_tile(channels, [=](auto kind, int64_t c, auto whole) {
    using V = decltype(kind);
    V half[OUTPUTS * TILE];
    for (int j = 0; j < TILE; ++j) {
      V column[TILE];
      for (int i = 0; i < TILE; ++i) column[i] = load<V>(from + (i * TILE + j) * plane + c);
      from_tile(column, 1, half + j, TILE);
    }
    for (int64_t i = 0; i < high; ++i) {
      V row[OUTPUTS];
      from_tile(half + i * TILE, 1, row, 1);
      for (int64_t j = 0; j < wide; ++j)
        store_some<whole>(corner + (i * shape.width + j) * channels + c, row[j], channels - c);
    }
  });
}

// A dy A^T of one tile, to 36 planes.
inline void gradient_tile(const float* gradient, const Shape& shape, int64_t channels, int64_t tile,
                          float* to, int64_t plane) {
  const Place at = place(shape, tile);
  fetch_next<OUTPUTS>(gradient, shape, channels, at.image, at.top, at.left);
  over_tile(channels, [=, &shape](auto kind, int64_t c, auto whole) {
    using V = decltype(kind);
    V half[TILE * OUTPUTS];
    auto down = [&](const auto& pixel) {
      for (int j = 0; j < OUTPUTS; ++j) {
        V column[OUTPUTS];
        for (int i = 0; i < OUTPUTS; ++i) column[i] = pixel(i, j);
        spread(column, 1, half + j, OUTPUTS);
      }
    };
    with_pixels<V, OUTPUTS, whole>(gradient, shape, channels, c, at.image, at.top, at.left, down);
    for (int i = 0; i < TILE; ++i) {
      V row[TILE];
      spread(half + i * OUTPUTS, 1, row, 1);
      for (int j = 0; j < TILE; ++j) store(to + (i * TILE + j) * plane + c, row[j]);
    }
  });
}

}  // namespace covidjax
