// The noise on the input of a Deep Image Prior.

#include <algorithm>
#include <cstdint>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "buffers.h"
#include "parallel.h"
#include "vector.h"

namespace covidjax {
namespace {

typedef uint32_t Bits __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));

// Whether a comparison holds for one of its numbers at least.
inline bool any(Ints holds) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(holds), reinterpret_cast<__m512i>(holds));
#else
  uint64_t words[LANES / 2], found = 0;
  __builtin_memcpy(words, &holds, sizeof words);
  for (const uint64_t word : words) found |= word;
  return found;
#endif
}

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
  const Ints top = reinterpret_cast<const Ints&>(bits) >> 8;  // -2^23 to 2^23 - 1
  const Vector u = (__builtin_convertvector(top, Vector) + 0.5f) * 1.1920929e-7f;  // in (-1, 1)
  const Vector w = -logarithm((1.0f - u) * (1.0f + u));
  const Vector c = w - 2.5f;
  Vector p = Vector{} + 2.81022636e-08f;
  for (float k : {3.43273939e-07f, -3.5233877e-06f, -4.39150654e-06f, 0.00021858087f, -0.00125372503f,
                  -0.00417768164f, 0.246640727f, 1.50140941f})
    p = p * c + k;
  if (any(w >= 5.0f)) {
    const Vector d = root(w) - 3.0f;
    Vector q = Vector{} - 0.000200214257f;
    for (float k : {0.000100950558f, 0.00134934322f, -0.00367342844f, 0.00573950773f, -0.0076224613f,
                    0.00943887047f, 1.00167406f, 2.83297682f})
      q = q * d + k;
    p = w < 5.0f ? p : q;
  }
  return 1.41421356f * p * u;
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(covidjax_perturb, covidjax::perturb,
                              xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
                                  COVIDJAX_ARG.Arg<xla::ffi::Buffer<xla::ffi::U32>>()
                                  COVIDJAX_RET.Attr<float>("deviation"));
