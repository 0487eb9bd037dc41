// Aligned word buffers, checked sizes and wiping of secrets.
#pragma once

#include <initializer_list>
#include <memory>

#include "base/types.h"

namespace tacit {

struct Free {
  void operator()(void* p) const noexcept;
};

using Words = std::unique_ptr<u64[], Free>;
using Bytes = std::unique_ptr<u8[], Free>;

// Uninitialised, aligned to a cache line (to 2 MiB when large, with huge pages asked for); null when there is no
// memory.
Words allocate_words(std::size_t count) noexcept;
Bytes allocate_bytes(std::size_t count) noexcept;

// The product of sizes; false when it does not fit 2^60.
bool product(std::initializer_list<std::size_t> sizes, std::size_t& out) noexcept;

// Overwrites a secret in a way the compiler may not remove.
void wipe(void* p, std::size_t bytes) noexcept;

}  // namespace tacit
