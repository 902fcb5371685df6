// Vectors as wide as the machine's registers, and small matrix products made of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace covidjax {

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 12;
#elif defined(__AVX__)
constexpr int LANES = 8, ROWS = 6;  // 16 registers: 12 sums, 2 columns, 1 row
#else
constexpr int LANES = 4, ROWS = 6;
#endif
constexpr int COLUMNS = 2;  // vectors a row of a product's block

constexpr int FEW = 4;  // channels that a skip adds: they have a short vector of their own

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef float Short __attribute__((vector_size(FEW * 4)));

template <typename V>
constexpr int lanes = sizeof(V) / sizeof(float);

template <typename V = Vector>
inline V load(const float* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <typename V>
inline void store(float* to, V value) {
  __builtin_memcpy(to, &value, sizeof value);
}

// work(a vector of its kind, first channel) for the widest vectors that fill the channels: whole ones,
// short ones, single numbers.
template <typename Work>
inline void by_vectors(int64_t channels, const Work& work) {
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES) work(Vector{}, c);
  for (; c + FEW <= channels; c += FEW) work(Short{}, c);
  for (; c < channels; ++c) work(0.0f, c);
}

// c[m][n] = (ADD ? c[m][n] : 0) + sum over k of a[m * a_row + k * a_step] * b[k * b_row + n],
// for M rows and N vectors of columns; the sums stay in registers.
template <typename V, int M, int N, bool ADD>
inline void block_product(int64_t depth, const float* a, int64_t a_row, int64_t a_step,
                          const float* b, int64_t b_row, float* c, int64_t c_row) {
  V sums[M][N];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sums[m][n] = ADD ? load<V>(c + m * c_row + n * lanes<V>) : V{};
  for (int64_t k = 0; k < depth; ++k) {
    V columns[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) columns[n] = load<V>(b + k * b_row + n * lanes<V>);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[m][n] += a[m * a_row + k * a_step] * columns[n];
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(c + m * c_row + n * lanes<V>, sums[m][n]);
}

template <typename V, int M, int N, bool ADD>
inline void last_rows(int64_t rows, int64_t depth, const float* a, int64_t a_row, int64_t a_step,
                      const float* b, int64_t b_row, float* c, int64_t c_row) {
  if constexpr (M > 0) {
    if (rows == M) return block_product<V, M, N, ADD>(depth, a, a_row, a_step, b, b_row, c, c_row);
    last_rows<V, M - 1, N, ADD>(rows, depth, a, a_row, a_step, b, b_row, c, c_row);
  }
}

// The same for any number of rows.
template <int N, bool ADD, typename V = Vector>
inline void product(int64_t rows, int64_t depth, const float* a, int64_t a_row, int64_t a_step,
                    const float* b, int64_t b_row, float* c, int64_t c_row) {
  for (; rows >= ROWS; rows -= ROWS, a += ROWS * a_row, c += ROWS * c_row)
    block_product<V, ROWS, N, ADD>(depth, a, a_row, a_step, b, b_row, c, c_row);
  last_rows<V, ROWS - 1, N, ADD>(rows, depth, a, a_row, a_step, b, b_row, c, c_row);
}

// The columns of a product that are kept together: COLUMNS vectors, or what is left of them, one vector
// or FEW.
inline int64_t panel(int64_t out, int64_t first) {
  return std::min<int64_t>(COLUMNS * LANES, out - first);
}

// The same for a panel.
template <bool ADD>
void panel_product(int64_t width, int64_t rows, int64_t depth, const float* a, int64_t a_row,
                   int64_t a_step, const float* b, int64_t b_row, float* c, int64_t c_row) {
  if (width == COLUMNS * LANES)
    product<COLUMNS, ADD>(rows, depth, a, a_row, a_step, b, b_row, c, c_row);
  else if (width == FEW)
    product<1, ADD, Short>(rows, depth, a, a_row, a_step, b, b_row, c, c_row);
  else
    product<1, ADD>(rows, depth, a, a_row, a_step, b, b_row, c, c_row);
}

// Compiled in product.cc alone: with all their numbers of rows they take seconds.
extern template void panel_product<false>(int64_t, int64_t, int64_t, const float*, int64_t, int64_t,
                                          const float*, int64_t, float*, int64_t);
extern template void panel_product<true>(int64_t, int64_t, int64_t, const float*, int64_t, int64_t,
                                         const float*, int64_t, float*, int64_t);

struct Rows {
  const float* first;
  int64_t step;  // from one to the next
};

// Rows of `width` floats where they are, or copied to `to` one after the other where their step would
// put them all on the same few lines of the cache.
inline Rows packed(Rows rows, int64_t count, int64_t width, float* to) {
  constexpr int64_t HARMFUL = 256;
  if (rows.step % HARMFUL) return rows;
  for (int64_t i = 0; i < count; ++i) {
    const float* from = rows.first + i * rows.step;
    std::copy(from, from + width, to + i * width);
  }
  return {to, width};
}

// This thread's own space, kept for its next call. It begins on a line of the cache, so that no vector
// lies across two.
inline float* scratch(int64_t size) {
  constexpr uintptr_t LINE = 64;
  thread_local std::vector<float> kept;
  const int64_t needed = size + LINE / sizeof(float);
  if (static_cast<int64_t>(kept.size()) < needed) kept.resize(needed);
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(kept.data()) + LINE - 1) / LINE * LINE);
}

}  // namespace covidjax
