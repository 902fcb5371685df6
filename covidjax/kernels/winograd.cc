// 3 x 3 convolutions with stride 1 and one pixel of padding by Winograd's F(4 x 4, 3 x 3): zeros, or
// with `mirror` the image reflected at its outermost pixels.
// What winograd.py says in array operations, tile by tile, so that a tile's values stay in cache.
//
// Arrays are float32, row-major: images [batch, height, width, channels], kernel [3, 3, in, out], with
// any number of channels. A tile is 6 x 6 pixels of the input, 4 x 4 of the output; its channels are
// filled up to a multiple of LANES.

#include "winograd.h"

#include <algorithm>
#include <cstdint>

#include "buffers.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

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

// Tiles at once: as many as leave room in a core's second-level cache, in whole blocks of rows.
inline int64_t tiles_at_once(int64_t channels, int64_t tiles, int64_t threads) {
  constexpr int64_t BYTES = 256 * 1024;
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

ffi::Error forward(ffi::ThreadPool pool, Buffer images, Buffer kernel, Result result, Result tiles,
                   bool turned, bool mirror) {
  const auto sizes = images.dimensions();
  // The gradient has nothing beyond its edge, the image of which it is the gradient has.
  const Shape shape{sizes[0], sizes[1], sizes[2], mirror && !turned};
  const int64_t in = sizes[3], out = result->dimensions()[3];
  const int64_t in_row = filled(in), out_row = filled(out), full = covered(out);
  float* weights = tiles->typed_data();
  kernel_tiles(pool, kernel.typed_data(), in, out, turned, weights);
  const int64_t count = tiles_at_once(in_row + out_row, shape.tiles(), pool.num_threads());
  const int64_t in_plane = plane_size(count, in_row), out_plane = plane_size(count, out_row);
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

}  // namespace
}  // namespace covidjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_winograd_forward, covidjax::forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET
                                  .Attr<bool>("turned").Attr<bool>("mirror"));
