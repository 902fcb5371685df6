// Loops over XLA's own thread pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace covidjax {

// Sleeping and being woken takes longer than what the last helper mostly has left: so many looks first,
// some tens of microseconds.
constexpr int LOOKS = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// work(i) for i of [0, count), on this thread and on those of the pool that come while there is work
// left. Nothing waits for a thread that has not begun, so a busy pool slows it down and no more.
template <typename Work>
void parallel_for(xla::ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct Progress {
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> done{0};
    std::mutex mutex;
    std::condition_variable finished;
  };
  const auto progress = std::make_shared<Progress>();
  const Work* body = &work;  // not touched by those who come late: nothing is left for them
  auto take = [progress, body, count] {
    int64_t taken = 0;
    for (int64_t i; (i = progress->next.fetch_add(1)) < count; ++taken) (*body)(i);
    if (taken && progress->done.fetch_add(taken) + taken == count) {
      std::lock_guard<std::mutex> lock(progress->mutex);
      progress->finished.notify_all();
    }
  };
  const int64_t helpers = std::min<int64_t>(pool.num_threads(), count) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(std::function<void()>(take));
  take();
  for (int look = 0; look < LOOKS && progress->done.load() < count; ++look) pause();
  if (progress->done.load() < count) {
    std::unique_lock<std::mutex> lock(progress->mutex);
    progress->finished.wait(lock, [&] { return progress->done.load() == count; });
  }
}

}  // namespace covidjax
