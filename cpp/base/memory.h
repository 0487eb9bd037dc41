// Aligned word buffers, checked sizes and wiping of secrets.
#pragma once

#include <initializer_list>
#include <memory>

#include "base/types.h"

namespace tacit {

struct Free {
  void operator()(void* p) const noexcept;
};

template <class T>
using Buffer = std::unique_ptr<T[], Free>;
using Words = Buffer<u64>;
using Bytes = Buffer<u8>;

// Uninitialised, aligned to a cache line (to 2 MiB when large, with huge pages asked for); null when there is no
// memory.
template <class T>
Buffer<T> allocate(std::size_t count) noexcept;

extern template Buffer<u64> allocate<u64>(std::size_t) noexcept;
extern template Buffer<u32> allocate<u32>(std::size_t) noexcept;
extern template Buffer<u8> allocate<u8>(std::size_t) noexcept;

inline Words allocate_words(std::size_t count) noexcept { return allocate<u64>(count); }
inline Bytes allocate_bytes(std::size_t count) noexcept { return allocate<u8>(count); }

// The product of sizes; false when it does not fit 2^60.
bool product(std::initializer_list<std::size_t> sizes, std::size_t& out) noexcept;

// Overwrites a secret in a way the compiler may not remove.
void wipe(void* p, std::size_t bytes) noexcept;

}  // namespace tacit
