#include "base/memory.h"

#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tacit {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kLimit = std::size_t{1} << 60;

void* reserve(std::size_t bytes) noexcept {
  if (bytes > kLimit) return nullptr;
  const std::size_t align = bytes >= 2 * kHugePage ? kHugePage : kLine;
  const std::size_t rounded = (bytes + kLine - 1) / kLine * kLine;
  void* p = nullptr;
  if (posix_memalign(&p, align, rounded == 0 ? kLine : rounded) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
  if (align == kHugePage) madvise(p, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return p;
}

}  // namespace

void Free::operator()(void* p) const noexcept { std::free(p); }

template <class T>
Buffer<T> allocate(std::size_t count) noexcept {
  return Buffer<T>(count > kLimit / sizeof(T) ? nullptr : static_cast<T*>(reserve(count * sizeof(T))));
}

template Buffer<u64> allocate<u64>(std::size_t) noexcept;
template Buffer<u32> allocate<u32>(std::size_t) noexcept;
template Buffer<u8> allocate<u8>(std::size_t) noexcept;

bool product(std::initializer_list<std::size_t> sizes, std::size_t& out) noexcept {
  std::size_t total = 1;
  bool empty = false;
  bool fits = true;
  for (std::size_t size : sizes) {
    empty = empty || size == 0;
    fits = fits && !__builtin_mul_overflow(total, size, &total) && total <= kLimit;
  }
  out = empty ? 0 : total;
  return empty || fits;
}

void wipe(void* p, std::size_t bytes) noexcept {
  std::memset(p, 0, bytes);
  asm volatile("" : : "r"(p) : "memory");
}

}  // namespace tacit
