// The matrix products that all kernels share.

#include <cstdint>

#include "vector.h"

namespace covidjax {

template void panel_product<false>(int64_t, int64_t, int64_t, const float*, int64_t, int64_t, const float*,
                                   int64_t, float*, int64_t);
template void panel_product<true>(int64_t, int64_t, int64_t, const float*, int64_t, int64_t, const float*,
                                  int64_t, float*, int64_t);

}  // namespace covidjax
