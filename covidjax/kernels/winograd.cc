// 3 x 3 convolutions with stride 1 and one pixel of padding by Winograd's F(4 x 4, 3 x 3): zeros, or
// with `mirror` the image reflected at its outermost pixels.
// What winograd.py says in array operations, tile by tile, so that a tile's values stay in cache.
//
// Arrays are float32, row-major: images [batch, height, width, channels], kernel [3, 3, in, out], with
// any number of channels. A tile is 6 x 6 pixels of the input, 4 x 4 of the output; its channels are
// filled up to a multiple of LANES.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "parallel.h"
#include "vector.h"
#include "xla/ffi/api/ffi.h"

namespace covidjax {
namespace {

namespace ffi = xla::ffi;

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
void input_tile(const float* images, const Shape& shape, int64_t channels, int64_t tile, float* to,
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
void output_tile(const float* from, int64_t plane, const Shape& shape, int64_t channels,
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
void gradient_tile(const float* gradient, const Shape& shape, int64_t channels, int64_t tile,
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

// G w G^T for all channels: [36][panels of out][in][panel]. `turned` is the kernel of the input's
// gradient: rotated by half a turn, inputs and outputs exchanged. `out` is filled up with zeros to what
// is covered.
void kernel_tiles(ffi::ThreadPool& pool, const float* kernel, int64_t in, int64_t out, bool turned,
                  float* to) {
  const int64_t full = covered(out);
  parallel_for(pool, in, [&](int64_t i) {
    over_tile(out, [&](auto kind, int64_t o, auto whole) {
      using V = decltype(kind);
      const int64_t count = std::min<int64_t>(lanes<V>, out - o);
      alignas(64) float weights[TAPS * TAPS][lanes<V>] = {};
      V w[TAPS * TAPS], half[TILE * TAPS];
      for (int tap = 0; tap < TAPS * TAPS; ++tap) {
        if (!turned) {
          w[tap] = load_some<V, whole>(kernel + (tap * in + i) * out + o, count);
          continue;
        }
        for (int lane = 0; lane < count; ++lane)
          weights[tap][lane] = kernel[((TAPS * TAPS - 1 - tap) * out + o + lane) * in + i];
        w[tap] = load<V>(weights[tap]);
      }
      for (int j = 0; j < TAPS; ++j) kernel_to_tile(w + j, TAPS, half + j, TAPS);
      const int64_t first = o / (COLUMNS * LANES) * COLUMNS * LANES, width = panel(full, first);
      for (int row = 0; row < TILE; ++row) {
        V u[TILE];
        kernel_to_tile(half + row * TAPS, 1, u, 1);
        for (int j = 0; j < TILE; ++j)
          store(to + (row * TILE + j) * in * full + first * in + i * width + o - first, u[j]);
      }
    });
  });
}

// Tiles at once: as many as keep a core's second-level cache, in whole blocks of rows.
inline int64_t tiles_at_once(int64_t channels, int64_t tiles, int64_t threads) {
  constexpr int64_t BYTES = 768 * 1024;
  const int64_t fitting = BYTES / (PLANES * channels * 4) / ROWS * ROWS;
  const int64_t share = (tiles + threads - 1) / threads;
  return std::max<int64_t>(1, std::min<int64_t>(share, std::max<int64_t>(fitting, 2 * ROWS)));
}

// What a mirrored convolution's input gradient has beyond the edge, added to the pixels that stood
// there. kernel [3, 3, channels, out], gradient [.., out], images [.., channels].
void add_mirrored(ffi::ThreadPool& pool, const float* gradient, const float* kernel,
                  const Shape& shape, int64_t channels, int64_t out, float* images) {
  const int64_t blocks = filled(channels) / LANES;
  parallel_for(pool, shape.batch * blocks, [&](int64_t task) {
    const int64_t image = task / blocks, c = task % blocks * LANES;
    const int64_t count = std::min<int64_t>(LANES, channels - c);
    float* turned = scratch(TAPS * TAPS * out * LANES);  // [tap][out][LANES]
    for (int64_t k = 0; k < TAPS * TAPS * out; ++k) {
      const float* from = kernel + (k / out * channels + c) * out + k % out;
      for (int64_t lane = 0; lane < LANES; ++lane)
        turned[k * LANES + lane] = lane < count ? from[lane * out] : 0.0f;
    }
    auto add = [&](int64_t row, int64_t column) {
      Vector sums[TAPS * TAPS];
      const float* from[TAPS * TAPS];
      int taps = 0;
      const float* weights[TAPS * TAPS];
      for (int i = 0; i < TAPS; ++i)
        for (int j = 0; j < TAPS; ++j) {
          const int64_t y = row - i + 1, x = column - j + 1;
          if (y < 0 || x < 0 || y >= shape.height || x >= shape.width) continue;
          from[taps] = gradient + ((image * shape.height + y) * shape.width + x) * out;
          weights[taps] = turned + (i * TAPS + j) * out * LANES;
          sums[taps++] = Vector{};
        }
      for (int64_t o = 0; o < out; ++o)
        for (int t = 0; t < taps; ++t) sums[t] += from[t][o] * load(weights[t] + o * LANES);
      for (int t = 1; t < taps; ++t) sums[0] += sums[t];
      const int64_t y = read_at(row, shape.height, true), x = read_at(column, shape.width, true);
      float* to = images + ((image * shape.height + y) * shape.width + x) * channels + c;
      store_some<false>(to, load_some<Vector, false>(to, count) + sums[0], count);
    };
    for (int64_t column = -1; column <= shape.width; ++column) {
      add(-1, column);
      add(shape.height, column);
    }
    for (int64_t row = 0; row < shape.height; ++row) {
      add(row, -1);
      add(row, shape.width);
    }
  });
}

ffi::Error forward(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> images, ffi::Buffer<ffi::F32> kernel,
                   ffi::ResultBuffer<ffi::F32> result, ffi::ResultBuffer<ffi::F32> tiles, bool turned,
                   bool mirror) {
  const auto sizes = images.dimensions();
  // The gradient has nothing beyond its edge, the image of which it is the gradient has.
  const Shape shape{sizes[0], sizes[1], sizes[2], mirror && !turned};
  const int64_t in = sizes[3], out = result->dimensions()[3];
  const int64_t in_row = filled(in), out_row = filled(out), full = covered(out);
  float* weights = tiles->typed_data();
  kernel_tiles(pool, kernel.typed_data(), in, out, turned, weights);
  const int64_t count = tiles_at_once(in_row + out_row, shape.tiles(), pool.num_threads());
  const int64_t in_plane = count * in_row + LANES, out_plane = count * out_row + LANES;
  parallel_for(pool, (shape.tiles() + count - 1) / count, [&](int64_t part) {
    const int64_t first = part * count, here = std::min(count, shape.tiles() - first);
    float* inputs = scratch(PLANES * (in_plane + out_plane));
    float* outputs = inputs + PLANES * in_plane;
    for (int64_t t = 0; t < here; ++t)
      input_tile(images.typed_data(), shape, in, first + t, inputs + t * in_row, in_plane);
    for (int p = 0; p < PLANES; ++p)
      for (int64_t o = 0; o < full; o += COLUMNS * LANES)
        panel_product<false>(panel(full, o), here, in, inputs + p * in_plane, in_row, 1,
                             weights + p * in * full + o * in, panel(full, o),
                             outputs + p * out_plane + o, out_row);
    for (int64_t t = 0; t < here; ++t)
      output_tile(outputs + t * out_row, out_plane, shape, out, first + t, result->typed_data());
  });
  if (mirror && turned)
    add_mirrored(pool, images.typed_data(), kernel.typed_data(), shape, out, in,
                 result->typed_data());
  return ffi::Error::Success();
}

constexpr int64_t GRADIENT_ROWS = 48;  // of inputs, a task

ffi::Error kernel_gradient(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> images,
                           ffi::Buffer<ffi::F32> gradient, ffi::ResultBuffer<ffi::F32> result,
                           ffi::ResultBuffer<ffi::F32> products, ffi::ResultBuffer<ffi::F32> space,
                           int64_t count, bool mirror) {
  const auto sizes = images.dimensions();
  const Shape shape{sizes[0], sizes[1], sizes[2], mirror};
  const Shape plain{sizes[0], sizes[1], sizes[2]};
  const int64_t in = sizes[3], out = gradient.dimensions()[3];  // out is a multiple of LANES
  const int64_t in_row = filled(in);
  const int64_t in_plane = count * in_row + LANES, out_plane = count * out + LANES;
  float* inputs = space->typed_data();
  float* outputs = inputs + PLANES * in_plane;
  float* sums = products->typed_data();
  const int64_t parts = (in + GRADIENT_ROWS - 1) / GRADIENT_ROWS;
  for (int64_t first = 0; first < shape.tiles(); first += count) {
    const int64_t here = std::min(count, shape.tiles() - first);
    constexpr int64_t CHUNK = 8;
    parallel_for(pool, (here + CHUNK - 1) / CHUNK, [&](int64_t chunk) {
      for (int64_t t = chunk * CHUNK; t < std::min(here, (chunk + 1) * CHUNK); ++t) {
        input_tile(images.typed_data(), shape, in, first + t, inputs + t * in_row, in_plane);
        gradient_tile(gradient.typed_data(), plain, out, first + t, outputs + t * out, out_plane);
      }
    });
    parallel_for(pool, PLANES * parts, [&](int64_t task) {
      const int64_t p = task / parts, i = task % parts * GRADIENT_ROWS;
      for (int64_t o = 0; o < out; o += COLUMNS * LANES) {
        const int64_t rows = std::min(GRADIENT_ROWS, in - i), width = panel(out, o);
        const float* a = inputs + p * in_plane + i;
        const float* b = outputs + p * out_plane + o;
        float* c = sums + (p * in + i) * out + o;
        if (first == 0)
          panel_product<false>(width, rows, here, a, 1, in_row, b, out, c, out);
        else
          panel_product<true>(width, rows, here, a, 1, in_row, b, out, c, out);
      }
    });
  }
  parallel_for(pool, in, [&](int64_t i) {
    for (int64_t o = 0; o < out; o += LANES) {
      Vector half[TAPS * TILE];
      for (int j = 0; j < TILE; ++j) {
        Vector column[TILE];
        for (int row = 0; row < TILE; ++row)
          column[row] = load(sums + ((row * TILE + j) * in + i) * out + o);
        kernel_from_tile(column, 1, half + j, TILE);
      }
      for (int row = 0; row < TAPS; ++row) {
        Vector taps[TAPS];
        kernel_from_tile(half + row * TILE, 1, taps, 1);
        for (int j = 0; j < TAPS; ++j)
          store(result->typed_data() + ((row * TAPS + j) * in + i) * out + o, taps[j]);
      }
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_winograd_forward, covidjax::forward,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Arg<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Ret<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Ret<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Attr<bool>("turned")
                                  .Attr<bool>("mirror"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_winograd_kernel_gradient, covidjax::kernel_gradient,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Arg<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Ret<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Ret<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Ret<xla::ffi::Buffer<xla::ffi::F32>>()
                                  .Attr<int64_t>("tiles")
                                  .Attr<bool>("mirror"));
