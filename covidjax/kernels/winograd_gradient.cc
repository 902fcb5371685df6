// The gradients of kernels of winograd.cc's convolutions: sums over tiles of the products of both
// transforms.

#include <algorithm>
#include <cstdint>
#include <memory>

#include "buffers.h"
#include "parallel.h"
#include "vector.h"
#include "winograd.h"

namespace covidjax {
namespace {

constexpr int64_t GRADIENT_ROWS = 48;  // of inputs, a task

// Both transforms of some tiles, in [36][tiles][channels], and where they lie.
struct Transformed {
  float *inputs, *outputs;
  int64_t in, out, in_plane, out_plane;
  static int64_t size(int64_t in, int64_t out, int64_t count) {
    return PLANES * (plane_size(count, filled(in)) + plane_size(count, out));
  }
  Transformed(float* space, int64_t in, int64_t out, int64_t count)
      : in(in), out(out), in_plane(plane_size(count, filled(in))), out_plane(plane_size(count, out)) {
    inputs = space;
    outputs = inputs + PLANES * in_plane;
  }
  // Transforms a tile, which becomes number `t`.
  void add(const float* images, const float* gradient, const Shape& shape, int64_t tile, int64_t t) const {
    const Shape plain{shape.batch, shape.height, shape.width};
    input_tile(images, shape, in, tile, inputs + t * filled(in), in_plane);
    gradient_tile(gradient, plain, out, tile, outputs + t * out, out_plane);
  }
  // Adds a plane's products over `count` tiles, from input `first` on, to sums [in][out]; with `begin`
  // they are the first.
  void sum(int64_t plane, int64_t first, int64_t count, bool begin, float* sums) const {
    const int64_t rows = std::min(GRADIENT_ROWS, in - first);
    const auto run = begin ? panel_product<false> : panel_product<true>;
    for (int64_t o = 0; o < out; o += COLUMNS * LANES)
      run(panel(out, o), rows, count, inputs + plane * in_plane + first, 1, filled(in),
          outputs + plane * out_plane + o, out, sums + first * out + o, out);
  }
};

// sums [36][in][out] of few channels: each task has tiles and sums of its own.
void sum_by_tiles(ffi::ThreadPool& pool, const Shape& shape, const float* images, const float* gradient,
                  int64_t in, int64_t out, float* sums) {
  constexpr int64_t COUNT = 48;  // tiles at once
  constexpr int64_t MOST = 8;    // tasks: the order of sums may not depend on the threads
  const int64_t chunks = (shape.tiles() + COUNT - 1) / COUNT, each = (chunks + MOST - 1) / MOST * COUNT;
  const int64_t tasks = (shape.tiles() + each - 1) / each, size = PLANES * in * out;
  const std::unique_ptr<float[]> parts(new float[tasks * size]);
  parallel_for(pool, tasks, [&](int64_t task) {
    const Transformed tiles(scratch(Transformed::size(in, out, COUNT)), in, out, COUNT);
    const int64_t begin = task * each, end = std::min(shape.tiles(), begin + each);
    for (int64_t first = begin; first < end; first += COUNT) {
      const int64_t here = std::min(COUNT, end - first);
      for (int64_t t = 0; t < here; ++t) tiles.add(images, gradient, shape, first + t, t);
      for (int p = 0; p < PLANES; ++p)
        for (int64_t i = 0; i < in; i += GRADIENT_ROWS)
          tiles.sum(p, i, here, first == begin, parts.get() + task * size + p * in * out);
    }
  });
  parallel_for(pool, PLANES, [&](int64_t p) {
    float* to = sums + p * in * out;
    std::fill_n(to, in * out, 0.0f);
    for (int64_t task = 0; task < tasks; ++task)
      for (int64_t k = 0; k < in * out; ++k) to[k] += parts[task * size + p * in * out + k];
  });
}

// The same of many channels: tasks transform `count` tiles into a common `space`, then each has a plane.
void sum_by_planes(ffi::ThreadPool& pool, const Shape& shape, const float* images, const float* gradient,
                   int64_t in, int64_t out, int64_t count, float* space, float* sums) {
  const Transformed tiles(space, in, out, count);
  const int64_t parts = (in + GRADIENT_ROWS - 1) / GRADIENT_ROWS;
  for (int64_t first = 0; first < shape.tiles(); first += count) {
    const int64_t here = std::min(count, shape.tiles() - first);
    constexpr int64_t CHUNK = 8;
    parallel_for(pool, (here + CHUNK - 1) / CHUNK, [&](int64_t chunk) {
      for (int64_t t = chunk * CHUNK; t < std::min(here, (chunk + 1) * CHUNK); ++t)
        tiles.add(images, gradient, shape, first + t, t);
    });
    parallel_for(pool, PLANES * parts, [&](int64_t task) {
      const int64_t p = task / parts;
      tiles.sum(p, task % parts * GRADIENT_ROWS, here, first == 0, sums + p * in * out);
    });
  }
}

ffi::Error kernel_gradient(ffi::ThreadPool pool, Buffer images, Buffer gradient, Result result,
                           Result products, Result space, int64_t count, bool mirror) {
  const auto sizes = images.dimensions();
  const Shape shape{sizes[0], sizes[1], sizes[2], mirror};
  const int64_t in = sizes[3], out = gradient.dimensions()[3];  // out is a multiple of LANES
  float* sums = products->typed_data();
  // Sums of their own that leave room in a second-level cache are added to faster than tiles that
  // another core has transformed are read.
  constexpr int64_t MOST = 64 * 1024;
  if (PLANES * in * out <= MOST)
    sum_by_tiles(pool, shape, images.typed_data(), gradient.typed_data(), in, out, sums);
  else
    sum_by_planes(pool, shape, images.typed_data(), gradient.typed_data(), in, out, count,
                  space->typed_data(), sums);
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_winograd_kernel_gradient, covidjax::kernel_gradient,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET COVIDJAX_RET
                                  .Attr<int64_t>("tiles").Attr<bool>("mirror"));
