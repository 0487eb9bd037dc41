#include "ring/pack.h"

#include <cstring>

#include "base/threads.h"

namespace tacit {
namespace {

constexpr std::size_t kGroup = 8;  // values whose stream is a whole number of bytes, whatever their width

u64 mask_of(unsigned bits) { return ~u64{0} >> (64 - bits); }

void store(u8* to, u64 word) { std::memcpy(to, &word, 8); }

u64 load(const u8* from) {
  u64 word = 0;
  std::memcpy(&word, from, 8);
  return word;
}

// Any width, value by value.
void pack_bits(std::size_t count, unsigned bits, const u64* values, u8* out) {
  const u64 mask = mask_of(bits);
  u128 pending = 0;
  unsigned filled = 0;
  for (std::size_t i = 0; i < count; ++i) {
    pending |= static_cast<u128>(values[i] & mask) << filled;
    filled += bits;
    if (filled >= 64) {
      store(out, static_cast<u64>(pending));
      out += 8;
      pending >>= 64;
      filled -= 64;
    }
  }
  const auto rest = static_cast<u64>(pending);
  std::memcpy(out, &rest, (filled + 7) / 8);
}

// The end of a stream is left to pack_bits, since whole-word stores reach up to 16 bytes beyond their value.
std::size_t but_the_last(std::size_t count) { return count < 4 * kGroup ? 0 : (count - 2 * kGroup) / kGroup * kGroup; }

// Widths of whole bytes: each store's surplus zeros are overwritten by the next.
std::size_t pack_bytes(std::size_t count, unsigned bits, const u64* values, u8* out) {
  const u64 mask = mask_of(bits);
  const std::size_t n = bits < 8 ? 0 : but_the_last(count);
  for (std::size_t i = 0; i < n; ++i, out += bits / 8) store(out, values[i] & mask);
  return n;
}

// Widths of whole nibbles, two values at a time.
std::size_t pack_nibbles(std::size_t count, unsigned bits, const u64* values, u8* out) {
  const u64 mask = mask_of(bits);
  const std::size_t n = bits < 8 ? 0 : but_the_last(count);
  for (std::size_t i = 0; i < n; i += 2, out += bits / 4) {
    const u128 pair = static_cast<u128>(values[i + 1] & mask) << bits | (values[i] & mask);
    store(out, static_cast<u64>(pair));
    store(out + 8, static_cast<u64>(pair >> 64));
  }
  return n;
}

void pack_stream(std::size_t count, unsigned bits, const u64* values, u8* out) {
  std::size_t done = 0;
  if (bits % 8 == 0) {
    done = pack_bytes(count, bits, values, out);
  } else if (bits % 4 == 0) {
    done = pack_nibbles(count, bits, values, out);
  }
  pack_bits(count - done, bits, values + done, out + done * bits / 8);
}

// Value i alone, from whichever bytes there are.
u64 value_at(std::size_t i, unsigned bits, const u8* data, std::size_t size) {
  const std::size_t first = i * bits / 8;
  const auto shift = static_cast<unsigned>(i * bits % 8);
  u128 word = 0;
  for (std::size_t j = 0; j < 9 && first + j < size; ++j) word |= static_cast<u128>(data[first + j]) << (8 * j);
  return static_cast<u64>(word >> shift) & mask_of(bits);
}

void unpack_stream(std::size_t count, unsigned bits, const u8* data, std::size_t size, u64* out) {
  if (bits == 64) {
    std::memcpy(out, data, 8 * count);
    return;
  }
  const u64 mask = mask_of(bits);
  // Values whose 9 bytes are all there.
  const std::size_t whole = size < 9 ? 0 : std::min(count, ((size - 9) * 8 + 7) / bits + 1);
  if (bits <= 57) {
    for (std::size_t i = 0; i < whole; ++i) out[i] = load(data + i * bits / 8) >> (i * bits % 8) & mask;
  } else {
    for (std::size_t i = 0; i < whole; ++i) {
      const u8* from = data + i * bits / 8;
      const auto shift = static_cast<unsigned>(i * bits % 8);
      // Twice, since a shift by 64 is not a shift.
      out[i] = (load(from) >> shift | static_cast<u64>(from[8]) << 1 << (63 - shift)) & mask;
    }
  }
  for (std::size_t i = whole; i < count; ++i) out[i] = value_at(i, bits, data, size);
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
