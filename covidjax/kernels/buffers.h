// What the kernels have in common with XLA's interface.
//
// Arrays are float32, row-major: [batch, height, width, channels], of any number of channels. Sums are
// taken over tasks of a fixed size, in their order, so that they do not depend on the number of
// threads.
#pragma once

#include "xla/ffi/api/ffi.h"

namespace covidjax {

namespace ffi = xla::ffi;
using Buffer = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

}  // namespace covidjax

#define COVIDJAX_ARG .Arg<xla::ffi::Buffer<xla::ffi::F32>>()
#define COVIDJAX_RET .Ret<xla::ffi::Buffer<xla::ffi::F32>>()
