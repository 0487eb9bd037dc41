#include "ring/pack.h"

#include <cstring>

#include "base/threads.h"

namespace tacit {
namespace {

constexpr std::size_t kGroup = 8;  // values whose stream is a whole number of bytes, whatever their width

u64 mask_of(unsigned bits) { return ~u64{0} >> (64 - bits); }

void pack_stream(std::size_t count, unsigned bits, const u64* values, u8* out) {
  const u64 mask = mask_of(bits);
  u128 pending = 0;
  unsigned filled = 0;
  for (std::size_t i = 0; i < count; ++i) {
    pending |= static_cast<u128>(values[i] & mask) << filled;
    filled += bits;
    if (filled >= 64) {
      const auto word = static_cast<u64>(pending);
      std::memcpy(out, &word, 8);
      out += 8;
      pending >>= 64;
      filled -= 64;
    }
  }
  const auto rest = static_cast<u64>(pending);
  std::memcpy(out, &rest, (filled + 7) / 8);
}

void unpack_stream(std::size_t count, unsigned bits, const u8* data, std::size_t size, u64* out) {
  const u64 mask = mask_of(bits);
  u128 pending = 0;
  unsigned filled = 0;
  const u8* const end = data + size;
  for (std::size_t i = 0; i < count; ++i) {
    if (filled < bits) {
      u64 word = 0;
      const std::size_t left = static_cast<std::size_t>(end - data);
      const std::size_t taken = left < 8 ? left : 8;
      if (taken == 8) {
        std::memcpy(&word, data, 8);
      } else {
        std::memcpy(&word, data, taken);
      }
      data += taken;
      pending |= static_cast<u128>(word) << filled;
      filled += 64;
    }
    out[i] = static_cast<u64>(pending) & mask;
    pending >>= bits;
    filled -= bits;
  }
}

}  // namespace

Status packed_bytes(std::size_t count, i64 bits, std::size_t& out) {
  if (bits < 1 || bits > 64) return invalid("bits must be between 1 and 64");
  if (count > (std::size_t{1} << 56)) return invalid("count must be at most 2^56");
  out = (count * static_cast<std::size_t>(bits) + 7) / 8;
  return ok();
}

void pack(int threads, std::size_t count, unsigned bits, const u64* values, u8* out) {
  const std::size_t groups = (count + kGroup - 1) / kGroup;
  share(workers_for(threads, groups, static_cast<double>(count)), groups, [&](int, std::size_t begin, std::size_t end) {
    const std::size_t first = begin * kGroup;
    pack_stream(std::min(end * kGroup, count) - first, bits, values + first, out + begin * bits);
  });
}

Status unpack(int threads, std::size_t count, unsigned bits, const u8* data, std::size_t size, u64* out) {
  const std::size_t used = count * bits % 8;
  if (used != 0 && (data[size - 1] >> used) != 0) {
    return invalid("data has padding bits that are not zero: it was not packed at this width, or was altered");
  }
  const std::size_t groups = (count + kGroup - 1) / kGroup;
  share(workers_for(threads, groups, static_cast<double>(count)), groups, [&](int, std::size_t begin, std::size_t end) {
    const std::size_t first = begin * kGroup;
    const std::size_t from = begin * bits;
    unpack_stream(std::min(end * kGroup, count) - first, bits, data + from, size - from, out + first);
  });
  return ok();
}

}  // namespace tacit
