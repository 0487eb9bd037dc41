#include "ring/pack.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/threads.h"

namespace tacit {
namespace {

constexpr std::size_t kGroup = 8;  // values whose stream is a whole number of bytes, whatever their width

constexpr u64 mask_of(unsigned bits) { return ~u64{0} >> (64 - bits); }

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

// Eight values of a width known to the compiler, so that every shift is a constant. Writes up to 7 zero bytes beyond
// the group's `Bits`, which the next group overwrites.
template <unsigned Bits, std::size_t... I>
void pack_group(const u64* values, u8* out, std::index_sequence<I...>) {
  u64 word = 0;
  const auto push = [&]<std::size_t At>() {
    constexpr unsigned kFilled = At * Bits % 64;
    const u64 value = values[At] & mask_of(Bits);
    word |= value << kFilled;
    if constexpr (kFilled + Bits >= 64) {
      store(out + At * Bits / 64 * 8, word);
      word = kFilled == 0 ? 0 : value >> (64 - kFilled) % 64;
    }
  };
  (push.template operator()<I>(), ...);
  if constexpr (Bits % 8 != 0) store(out + Bits / 8 * 8, word);
}

// The inverse. Reads up to 8 bytes beyond the group's `Bits`.
template <unsigned Bits, std::size_t... I>
void unpack_group(const u8* data, u64* out, std::index_sequence<I...>) {
  const auto pull = [&]<std::size_t At>() {
    constexpr unsigned kShift = At * Bits % 8;
    const u8* from = data + At * Bits / 8;
    u64 value = load(from) >> kShift;
    if constexpr (kShift + Bits > 64) value |= static_cast<u64>(from[8]) << (64 - kShift);
    out[At] = value & mask_of(Bits);
  };
  (pull.template operator()<I>(), ...);
}

using Order = std::make_index_sequence<kGroup>;

template <unsigned Bits>
void pack_groups(std::size_t groups, const u64* values, u8* out) {
  for (std::size_t g = 0; g < groups; ++g) pack_group<Bits>(values + g * kGroup, out + g * Bits, Order{});
}

template <unsigned Bits>
void unpack_groups(std::size_t groups, const u8* data, u64* out) {
  for (std::size_t g = 0; g < groups; ++g) unpack_group<Bits>(data + g * Bits, out + g * kGroup, Order{});
}

// One pair of loops for each width.
struct Width {
  void (*pack)(std::size_t groups, const u64* values, u8* out);
  void (*unpack)(std::size_t groups, const u8* data, u64* out);
};

template <std::size_t... I>
constexpr std::array<Width, sizeof...(I)> all_widths(std::index_sequence<I...>) {
  return {Width{pack_groups<1 + I>, unpack_groups<1 + I>}...};
}
constexpr auto kWidths = all_widths(std::make_index_sequence<64>{});

// Whole groups after which 16 bytes of the stream follow: what the loops above may take, since each of them reaches up
// to 8 bytes beyond its own.
std::size_t safe_groups(std::size_t count, unsigned bits) {
  const std::size_t groups = count / kGroup;
  const std::size_t left = (16 + bits - 1) / bits;
  return groups > left ? groups - left : 0;
}

// Value i alone, from whichever bytes there are.
u64 value_at(std::size_t i, unsigned bits, const u8* data, std::size_t size) {
  const std::size_t first = i * bits / 8;
  const auto shift = static_cast<unsigned>(i * bits % 8);
  u128 word = 0;
  for (std::size_t j = 0; j < 9 && first + j < size; ++j) word |= static_cast<u128>(data[first + j]) << (8 * j);
  return static_cast<u64>(word >> shift) & mask_of(bits);
}

}  // namespace

void pack_run(std::size_t count, unsigned bits, const u64* values, u8* out) {
  const std::size_t groups = safe_groups(count, bits);
  if (groups > 0) kWidths[bits - 1].pack(groups, values, out);
  pack_bits(count - groups * kGroup, bits, values + groups * kGroup, out + groups * bits);
}

void unpack_run(std::size_t count, unsigned bits, const u8* data, std::size_t size, u64* out) {
  const std::size_t groups = safe_groups(count, bits);
  if (groups > 0) kWidths[bits - 1].unpack(groups, data, out);
  for (std::size_t i = groups * kGroup; i < count; ++i) out[i] = value_at(i, bits, data, size);
}

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
    pack_run(std::min(end * kGroup, count) - first, bits, values + first, out + begin * bits);
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
    unpack_run(std::min(end * kGroup, count) - first, bits, data + from, size - from, out + first);
  });
  return ok();
}

}  // namespace tacit
