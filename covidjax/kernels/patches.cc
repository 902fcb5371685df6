// Convolutions of any size and stride as products with patches, which are laid out for some pixels at
// a time and so never leave the cache: for strided kernels and for images of one channel.
//
// Beyond the edge are zeros or the image's reflection. Where a kernel's rows meet vectors of channels
// that lie one after the other nothing is laid out (`direct`).
//
// Arrays are float32, row-major: images [batch, height, width, in], kernel [rows, columns, in, out].
// `out` is a multiple of LANES. A patch is what the kernel meets at one place: [rows, columns, in].

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "buffers.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

struct Shape {
  int64_t batch, height, width, in;          // of the images
  int64_t out_height, out_width, out;        // of the result
  int64_t rows, columns;                     // of the kernel
  int64_t stride_rows, stride_columns, top, left;  // strides and padding
  bool mirror;  // beyond the edge: the image reflected at its outermost pixels, or zeros
  int64_t depth() const { return rows * columns * in; }
  int64_t places() const { return batch * out_height * out_width; }
  // Whether the images are their own patches.
  bool pointwise() const { return depth() == in && places() == batch * height * width && !top && !left; }
};

Shape shape_of(Buffer images, Buffer result, Buffer kernel, ffi::Span<const int64_t> window) {
  const auto x = images.dimensions(), y = result.dimensions(), w = kernel.dimensions();
  return {x[0], x[1], x[2], x[3], y[1], y[2], y[3], w[0], w[1], window[0], window[1], window[2], window[3],
          window[4] != 0};
}

// What part of a patch's row lies in the image: columns [first, last) of the kernel.
struct Overlap {
  int64_t image, row, column;  // of the patch's first pixel
  int64_t first, last;
};

inline Overlap overlap(const Shape& s, int64_t place) {
  const int64_t column = place % s.out_width * s.stride_columns - s.left;
  const int64_t row = place / s.out_width % s.out_height * s.stride_rows - s.top;
  return {place / (s.out_width * s.out_height), row, column, std::max<int64_t>(0, -column),
          std::min(s.columns, s.width - column)};
}

// Whether a patch has what the image's reflection gives.
inline bool reflects(const Shape& s, const Overlap& o) {
  return s.mirror && (o.row < 0 || o.row + s.rows > s.height || o.first > 0 || o.last < s.columns);
}

inline int64_t reflected(int64_t at, int64_t size) {
  return at < 0 ? -at : at < size ? at : 2 * size - 2 - at;
}

// The pixel that stands at (i, j) of a patch.
inline int64_t met(const Shape& s, const Overlap& o, int64_t i, int64_t j) {
  const int64_t row = reflected(o.row + i, s.height), column = reflected(o.column + j, s.width);
  return ((o.image * s.height + row) * s.width + column) * s.in;
}

void read_patch(const float* images, const Shape& s, int64_t place, float* patch) {
  const Overlap o = overlap(s, place);
  const int64_t line = s.columns * s.in;
  if (reflects(s, o)) {
    for (int64_t i = 0; i < s.rows; ++i)
      for (int64_t j = 0; j < s.columns; ++j, patch += s.in) {
        const float* from = images + met(s, o, i, j);
        std::copy(from, from + s.in, patch);
      }
    return;
  }
  for (int64_t i = 0; i < s.rows; ++i, patch += line) {
    const int64_t row = o.row + i;
    if (row < 0 || row >= s.height || o.first >= o.last) {
      std::fill(patch, patch + line, 0.0f);
      continue;
    }
    const float* from = images + ((o.image * s.height + row) * s.width + o.column) * s.in;
    std::fill(patch, patch + o.first * s.in, 0.0f);
    std::copy(from + o.first * s.in, from + o.last * s.in, patch + o.first * s.in);
    std::fill(patch + o.last * s.in, patch + line, 0.0f);
  }
}

// The transpose of read_patch.
void add_patch(const float* patch, const Shape& s, int64_t place, float* images) {
  const Overlap o = overlap(s, place);
  if (reflects(s, o)) {
    for (int64_t i = 0; i < s.rows; ++i)
      for (int64_t j = 0; j < s.columns; ++j, patch += s.in) {
        float* to = images + met(s, o, i, j);
        for (int64_t k = 0; k < s.in; ++k) to[k] += patch[k];
      }
    return;
  }
  for (int64_t i = 0; i < s.rows; ++i, patch += s.columns * s.in) {
    const int64_t row = o.row + i;
    if (row < 0 || row >= s.height) continue;
    float* to = images + ((o.image * s.height + row) * s.width + o.column) * s.in;
    for (int64_t k = o.first * s.in; k < o.last * s.in; ++k) to[k] += patch[k];
  }
}

// Places at once, in whole blocks of rows: their patches fill half of a second-level cache, or more
// where they are so large that the kernel would be read for few places.
inline int64_t places_at_once(int64_t depth, int64_t places, int64_t threads) {
  constexpr int64_t BYTES = 512 * 1024, LEAST = 96;
  const int64_t fitting = std::max(LEAST, BYTES / (4 * depth)), share = (places + threads - 1) / threads;
  return (std::min(fitting, share) + ROWS - 1) / ROWS * ROWS;
}

// Output columns [first, last) whose patches have all their columns inside the image: there a kernel's
// row meets pixels that lie one after the other, and need not be laid out.
struct Inside {
  int64_t first, last;
};

inline Inside inside(const Shape& s) {
  const int64_t first = (s.left + s.stride_columns - 1) / s.stride_columns;
  const int64_t last = (s.width - s.columns + s.left) / s.stride_columns + 1;
  return {std::min(first, s.out_width), std::clamp<int64_t>(last, first, s.out_width)};
}

// Whether enough places of a row are inside, with vectors of channels: with fewer than some 48 a
// product is over before its sums have been worth the way to the registers and back.
inline bool direct(const Shape& s) {
  constexpr int64_t ENOUGH = 48;
  const Inside columns = inside(s);
  return s.in >= 16 && s.columns > 1 && columns.last - columns.first >= ENOUGH && s.out % 256;
}

// work(column) for those that are not inside.
template <typename Work>
inline void at_edges(const Shape& s, const Inside& columns, const Work& work) {
  for (int64_t column = 0; column < columns.first; ++column) work(column);
  for (int64_t column = columns.last; column < s.out_width; ++column) work(column);
}

// One row of the result, place `first` being its beginning.
void direct_row(const Shape& s, const float* images, const float* kernel, int64_t first, float* result) {
  const Inside columns = inside(s);
  const int64_t line = s.columns * s.in, count = columns.last - columns.first;
  const Overlap o = overlap(s, first + columns.first);
  for (int64_t k = 0; k < s.out; k += COLUMNS * LANES) {
    float* to = result + (first + columns.first) * s.out + k;
    bool begun = false;
    for (int64_t i = 0; i < s.rows; ++i) {
      int64_t row = o.row + i;
      if (s.mirror) row = reflected(row, s.height);
      if (row < 0 || row >= s.height) continue;
      const float* from = images + ((o.image * s.height + row) * s.width + o.column) * s.in;
      const auto run = begun ? panel_product<true> : panel_product<false>;
      run(panel(s.out, k), count, line, from, s.stride_columns * s.in, 1, kernel + i * line * s.out + k,
          s.out, to, s.out);
      begun = true;
    }
    for (int64_t p = 0; p < count && !begun; ++p)  // all of it beyond the edge
      std::fill_n(to + p * s.out, panel(s.out, k), 0.0f);
  }
  float* patch = scratch(s.depth());
  at_edges(s, columns, [&](int64_t column) {
    read_patch(images, s, first + column, patch);
    for (int64_t k = 0; k < s.out; k += COLUMNS * LANES)
      panel_product<false>(panel(s.out, k), 1, s.depth(), patch, s.depth(), 1, kernel + k, s.out,
                           result + (first + column) * s.out + k, s.out);
  });
}

ffi::Error forward(ffi::ThreadPool pool, Buffer images, Buffer kernel, Result result,
                   ffi::Span<const int64_t> window) {
  const Shape s = shape_of(images, *result, kernel, window);
  const int64_t depth = s.depth();
  if (direct(s)) {
    parallel_for(pool, s.batch * s.out_height, [&](int64_t row) {
      direct_row(s, images.typed_data(), kernel.typed_data(), row * s.out_width, result->typed_data());
    });
    return ffi::Error::Success();
  }
  const int64_t at_once = places_at_once(depth, s.places(), pool.num_threads());
  parallel_for(pool, (s.places() + at_once - 1) / at_once, [&](int64_t part) {
    const int64_t first = part * at_once, here = std::min(at_once, s.places() - first);
    float* columns = scratch((at_once + COLUMNS * LANES) * depth);
    const float* patches = images.typed_data() + first * depth;
    if (!s.pointwise()) {
      float* laid_out = columns + depth * COLUMNS * LANES;
      for (int64_t p = 0; p < here; ++p)
        read_patch(images.typed_data(), s, first + p, laid_out + p * depth);
      patches = laid_out;
    }
    for (int64_t o = 0; o < s.out; o += COLUMNS * LANES) {
      const int64_t width = panel(s.out, o);
      const Rows b = packed({kernel.typed_data() + o, s.out}, depth, width, columns);
      panel_product<false>(width, here, depth, patches, depth, 1, b.first, b.step,
                           result->typed_data() + first * s.out + o, s.out);
    }
  });
  return ffi::Error::Success();
}

// The input gradient of places [begin, end). `turned` is the kernel as [out, rows * columns * in].
void add_places(const Shape& s, const float* gradient, const float* turned, int64_t begin,
                int64_t end, int64_t at_once, float* to) {
  const int64_t depth = s.depth();
  float* patches = scratch(at_once * depth + COLUMNS * LANES * s.out);
  float* columns = patches + at_once * depth;
  for (int64_t first = begin; first < end; first += at_once) {
    const int64_t here = std::min(at_once, end - first);
    for (int64_t k = 0; k < depth; k += COLUMNS * LANES) {
      const int64_t width = panel(depth, k);
      const Rows b = packed({turned + k, depth}, s.out, width, columns);
      panel_product<false>(width, here, s.out, gradient + first * s.out, s.out, 1, b.first, b.step,
                           patches + k, depth);
    }
    for (int64_t p = 0; p < here; ++p) add_patch(patches + p * depth, s, first + p, to);
  }
}

constexpr int64_t FEW_IMAGES = 4;  // up to which an image is cut into bands

ffi::Error input_gradient(ffi::ThreadPool pool, Buffer gradient, Buffer kernel, Buffer turned,
                          Result result, ffi::Span<const int64_t> window) {
  const Shape s = shape_of(*result, gradient, kernel, window);
  const int64_t depth = s.depth(), pixels = s.height * s.width * s.in;
  const int64_t places = s.out_height * s.out_width;
  const int64_t at_once = places_at_once(depth, s.places(), pool.num_threads());
  const float *dy = gradient.typed_data(), *weights = turned.typed_data();
  float* to = result->typed_data();
  if (s.batch > FEW_IMAGES) {
    // Patches of one image overlap, so each task has whole images.
    const int64_t images = std::max<int64_t>(1, at_once / places);
    parallel_for(pool, (s.batch + images - 1) / images, [&](int64_t task) {
      const int64_t begin = task * images, end = std::min(s.batch, begin + images);
      std::fill(to + begin * pixels, to + end * pixels, 0.0f);
      add_places(s, dy, weights, begin * places, end * places, at_once, to);
    });
    return ffi::Error::Success();
  }
  // Bands of output rows, of which only neighbors meet: every second one, then the others. Their
  // size may not depend on the threads, for the order of sums does on it.
  const int64_t rows = std::max(s.rows, places_at_once(depth, places, 4) / s.out_width);
  const int64_t bands = (s.out_height + rows - 1) / rows;
  parallel_for(pool, s.batch * s.height, [&](int64_t row) {
    std::fill(to + row * s.width * s.in, to + (row + 1) * s.width * s.in, 0.0f);
  });
  for (int64_t odd = 0; odd < 2; ++odd) {
    const int64_t half = (bands + 1 - odd) / 2;
    parallel_for(pool, s.batch * half, [&](int64_t task) {
      const int64_t image = task / half, top = (task % half * 2 + odd) * rows;
      const int64_t begin = image * places + top * s.out_width;
      const int64_t end = image * places + std::min(s.out_height, top + rows) * s.out_width;
      add_places(s, dy, weights, begin, end, at_once, to);
    });
  }
  return ffi::Error::Success();
}

constexpr int64_t GRADIENT_ROWS = 48;  // of the kernel, a task

// Of images whose rows are met as they lie. A task has a band of the gradient's rows and sums of its
// own; the places at the edges come one by one.
void direct_kernel_gradient(ffi::ThreadPool& pool, const Shape& s, const float* images,
                            const float* gradient, float* result) {
  constexpr int64_t MOST = 16;  // bands; the order of sums may not depend on the threads
  const Inside columns = inside(s);
  const int64_t line = s.columns * s.in, count = columns.last - columns.first, size = s.depth() * s.out;
  const int64_t lines = s.batch * s.out_height, band = (lines + MOST - 1) / MOST;
  const int64_t bands = (lines + band - 1) / band;
  std::vector<float> sums(bands * size);
  auto add = [&](int64_t rows, int64_t depth, const float* a, int64_t step, const float* b, float* c) {
    for (int64_t o = 0; o < s.out; o += COLUMNS * LANES)
      panel_product<true>(panel(s.out, o), rows, depth, a, 1, step, b + o, s.out, c + o, s.out);
  };
  parallel_for(pool, bands, [&](int64_t task) {
    float *own = sums.data() + task * size, *patch = scratch(s.depth());
    for (int64_t y = task * band; y < std::min(lines, (task + 1) * band); ++y) {
      const int64_t first = y * s.out_width;
      const Overlap at = overlap(s, first + columns.first);
      for (int64_t i = 0; i < s.rows; ++i) {
        const int64_t row = s.mirror ? reflected(at.row + i, s.height) : at.row + i;
        if (row < 0 || row >= s.height) continue;
        const float* from = images + ((at.image * s.height + row) * s.width + at.column) * s.in;
        add(line, count, from, s.stride_columns * s.in, gradient + (first + columns.first) * s.out,
            own + i * line * s.out);
      }
      at_edges(s, columns, [&](int64_t column) {
        read_patch(images, s, first + column, patch);
        add(s.depth(), 1, patch, 1, gradient + (first + column) * s.out, own);
      });
    }
  });
  parallel_for(pool, s.depth(), [&](int64_t k) {
    float* to = result + k * s.out;
    std::fill_n(to, s.out, 0.0f);
    for (int64_t task = 0; task < bands; ++task)
      for (int64_t o = 0; o < s.out; o += LANES)
        store(to + o, load(to + o) + load(sums.data() + task * size + k * s.out + o));
  });
}

// `space` holds the patches of as many places as it has rows.
ffi::Error kernel_gradient(ffi::ThreadPool pool, Buffer images, Buffer gradient, Result result,
                           Result space, ffi::Span<const int64_t> window) {
  const Shape s = shape_of(images, gradient, *result, window);
  if (direct(s)) {
    direct_kernel_gradient(pool, s, images.typed_data(), gradient.typed_data(), result->typed_data());
    return ffi::Error::Success();
  }
  const int64_t depth = s.depth(), at_once = space->dimensions()[0];
  for (int64_t first = 0; first < s.places(); first += at_once) {
    const int64_t here = std::min(at_once, s.places() - first);
    const float* patches = images.typed_data() + first * depth;
    if (!s.pointwise()) {
      float* laid_out = space->typed_data();
      constexpr int64_t CHUNK = 64;
      parallel_for(pool, (here + CHUNK - 1) / CHUNK, [&](int64_t chunk) {
        for (int64_t p = chunk * CHUNK; p < std::min(here, (chunk + 1) * CHUNK); ++p)
          read_patch(images.typed_data(), s, first + p, laid_out + p * depth);
      });
      patches = laid_out;
    }
    const int64_t most = depth <= GRADIENT_ROWS ? (depth + 1) / 2 : GRADIENT_ROWS;
    const int64_t parts = (depth + most - 1) / most;
    const int64_t panels = (s.out + COLUMNS * LANES - 1) / (COLUMNS * LANES);
    parallel_for(pool, parts * panels, [&](int64_t task) {
      const int64_t k = task / panels * most, o = task % panels * COLUMNS * LANES;
      const int64_t rows = std::min(most, depth - k), width = panel(s.out, o);
      float* space = scratch(here * (rows + width));
      const Rows a = packed({patches + k, depth}, here, rows, space);
      const Rows b = packed({gradient.typed_data() + first * s.out + o, s.out}, here, width,
                            space + here * rows);
      float* c = result->typed_data() + k * s.out + o;
      if (first == 0)
        panel_product<false>(width, rows, here, a.first, 1, a.step, b.first, b.step, c, s.out);
      else
        panel_product<true>(width, rows, here, a.first, 1, a.step, b.first, b.step, c, s.out);
    });
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace covidjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_patches_forward, covidjax::forward,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET
                                  .Attr<xla::ffi::Span<const int64_t>>("window"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_patches_input_gradient, covidjax::input_gradient,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET
                                  .Attr<xla::ffi::Span<const int64_t>>("window"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_patches_kernel_gradient, covidjax::kernel_gradient,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG COVIDJAX_ARG
                                  COVIDJAX_RET COVIDJAX_RET
                                  .Attr<xla::ffi::Span<const int64_t>>("window"));
