// The words every kernel computes with.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace tacit {

static_assert(std::endian::native == std::endian::little, "the wire formats are little-endian");

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;
__extension__ using u128 = unsigned __int128;

}  // namespace tacit
