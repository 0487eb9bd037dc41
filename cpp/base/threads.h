// Sharing one call's work between threads that live only as long as the call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace tacit {

// How many threads to use for `items` pieces that take `ns` nanoseconds together: starting one costs tens of
// microseconds, so each must have at least a hundred to do.
inline int workers_for(int threads, std::size_t items, double ns) {
  constexpr double kWorthwhile = 1e5;
  const double useful = std::min({static_cast<double>(threads), static_cast<double>(items), ns / kWorthwhile});
  return std::max(1, static_cast<int>(useful));
}

// Calls run(worker, begin, end) over a partition of [0, items) on `workers` threads, this one included. `run` must not
// throw. A thread the system refuses to start leaves its part to this thread.
template <class Run>
void share(int workers, std::size_t items, Run&& run) {
  const auto count = static_cast<std::size_t>(workers);
  const auto bound = [&](std::size_t w) { return items / count * w + std::min(w, items % count); };
  std::vector<std::jthread> threads;
  threads.reserve(count);
  for (std::size_t w = 1; w < count; ++w) {
    try {
      threads.emplace_back([&run, w, first = bound(w), last = bound(w + 1)] { run(static_cast<int>(w), first, last); });
    } catch (const std::system_error&) {
      run(static_cast<int>(w), bound(w), bound(w + 1));
    }
  }
  run(0, bound(0), bound(1));
}

}  // namespace tacit
