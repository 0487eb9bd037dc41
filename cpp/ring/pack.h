// Words of k bits as a little-endian bit stream.
#pragma once

#include "base/status.h"
#include "base/types.h"

namespace tacit {

// Bytes that hold `count` values of `bits` bits; fails unless 1 <= bits <= 64 and the stream's bits can be counted.
Status packed_bytes(std::size_t count, i64 bits, std::size_t& out);

// Value i occupies bits [i * bits, (i + 1) * bits); high bits of a value are ignored, the last byte is padded with
// zeros.
void pack(int threads, std::size_t count, unsigned bits, const u64* values, u8* out);

// The inverse; fails when a padding bit is set.
Status unpack(int threads, std::size_t count, unsigned bits, const u8* data, std::size_t size, u64* out);

// The same by one thread. `size` bytes of data may be read.
void pack_run(std::size_t count, unsigned bits, const u64* values, u8* out);
void unpack_run(std::size_t count, unsigned bits, const u8* data, std::size_t size, u64* out);

}  // namespace tacit
