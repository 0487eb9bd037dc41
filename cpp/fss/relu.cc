#include "fss/relu.h"

#include "base/memory.h"
#include "base/threads.h"
#include "prg/aes.h"
#include "ring/pack.h"

namespace tacit {
namespace {

constexpr std::size_t kChunk = 64;          // elements; their shares stay in the first-level cache and fill whole bytes
constexpr std::size_t kStreamWords = 8;     // of the stream for each element: whole blocks, five words used
constexpr std::size_t kStreamBlocks = kStreamWords / 2;
constexpr double kNsPerElement = 5;

u64 mask_of(i64 bits) { return ~u64{0} >> (64 - bits); }

// All ones where bit i of a little-endian stream is set.
u64 spread(const u8* bits, std::size_t i) { return -static_cast<u64>(bits[i / 8] >> (i % 8) & 1); }

// What everyone knows of an element.
struct Opened {
  u64 centre;           // c
  std::size_t variant;  // v
};

Opened opened_of(const ReluShape& shape, u64 value) {
  const u64 offset = u64{1} << (shape.bits - 2 - shape.shift);
  return {((value & mask_of(shape.bits)) >> shape.shift) - offset,
          static_cast<std::size_t>(~value >> (shape.bits - 1) & 1)};
}

// A party's share of the result from its five words; `constant` is its share of c: c itself, or 0.
u64 share_of(const Opened& opened, const Slopes& slopes, u64 constant, u64 flipped, const u64* words) {
  const u64 tag = words[1 + 2 * opened.variant];
  const u64 product = opened.centre * words[0] - words[2 + 2 * opened.variant];  // r (c - tag)
  // d is r where dhat is 0 and 1 - r where it is 1
  const u64 positive = ((constant - tag) & flipped) + ((product ^ flipped) - flipped);
  const auto below = static_cast<u64>(slopes.below);
  return (static_cast<u64>(slopes.above) - below) * positive + below * (constant - tag);
}

// Calls run(first, count, scratch) for all chunks of [0, n); `scratch` words are its own and wiped at the end.
template <class Run>
void by_chunks(int threads, std::size_t n, const Run& run) {
  const std::size_t chunks = (n + kChunk - 1) / kChunk;
  share(workers_for(threads, chunks, static_cast<double>(n) * kNsPerElement), chunks,
        [&](int, std::size_t begin, std::size_t end) {
          u64 scratch[kChunk * kStreamWords];
          for (std::size_t i = begin; i < end; ++i) run(i * kChunk, std::min(kChunk, n - i * kChunk), scratch);
          wipe(scratch, sizeof scratch);
        });
}

// Where the words of a chunk begin.
std::size_t place_of(std::size_t first, i64 ring) {
  return first * kReluWords * static_cast<std::size_t>(ring) / 8;
}

}  // namespace

Status check_relu(const ReluShape& shape) {
  if (shape.bits < 3 || shape.bits > 64) return invalid("k must be between 3 and 64");
  if (shape.shift < 0 || shape.shift > shape.bits - 2) return invalid("p must be between 0 and k - 2");
  return ok();
}

Status relu_bytes(std::size_t n, i64 ring, std::size_t& out) {
  std::size_t words = 0;
  if (ring < 1 || ring > 64) return invalid("ring must be between 1 and 64 bits");
  if (!product({n, kReluWords}, words)) return invalid("n elements are more than memory can hold");
  return packed_bytes(words, ring, out);
}

Status relu_deal(Tier tier, int threads, const ReluShape& shape, i64 ring, std::size_t n, const u64* lam,
                 const u8* flip, const u8 key[16], u64 nonce, u8* out) {
  if (Status bad = check_relu(shape); !bad) return bad;
  if (ring < 1 || ring > 64) return invalid("ring must be between 1 and 64 bits");
  const PrgKernels& prg = prg_kernels(tier);
  RoundKeys keys;
  prg.expand(key, keys);
  const auto unused = static_cast<unsigned>(64 - shape.bits);
  by_chunks(threads, n, [&](std::size_t first, std::size_t count, u64* shares) {
    prg.fill(keys, nonce, first * kStreamBlocks, count * kStreamBlocks, shares);
    u64* to = shares;  // an element's words take the place of shares that were read before
    for (std::size_t i = 0; i < count; ++i) {
      const u64 mask = lam[first + i];
      const u64 flipped = spread(flip, first + i);
      const u64 tags[2] = {(mask & mask_of(shape.bits)) >> shape.shift,
                           static_cast<u64>(static_cast<i64>(mask << unused) >> unused >> shape.shift)};
      const u64 values[kReluWords] = {flipped & 1, tags[0], tags[0] & flipped, tags[1], tags[1] & flipped};
      for (std::size_t j = 0; j < kReluWords; ++j) *to++ = values[j] - shares[kStreamWords * i + j];
    }
    pack_run(count * kReluWords, static_cast<unsigned>(ring), shares, out + place_of(first, ring));
  });
  return ok();
}

Status relu_client(Tier tier, int threads, const ReluShape& shape, const Slopes& slopes, std::size_t n,
                   const u64* opened, const u8* dhat, const u8 key[16], u64 nonce, u64* out) {
  if (Status bad = check_relu(shape); !bad) return bad;
  const PrgKernels& prg = prg_kernels(tier);
  RoundKeys keys;
  prg.expand(key, keys);
  by_chunks(threads, n, [&](std::size_t first, std::size_t count, u64* shares) {
    prg.fill(keys, nonce, first * kStreamBlocks, count * kStreamBlocks, shares);
    for (std::size_t i = 0; i < count; ++i) {
      const Opened o = opened_of(shape, opened[first + i]);
      out[first + i] = share_of(o, slopes, 0, spread(dhat, first + i), shares + kStreamWords * i);
    }
  });
  return ok();
}

Status relu_server(int threads, const ReluShape& shape, const Slopes& slopes, i64 ring, std::size_t n,
                   const u64* opened, const u8* dhat, const u8* words, u64* out) {
  if (Status bad = check_relu(shape); !bad) return bad;
  std::size_t bytes = 0;
  if (Status bad = relu_bytes(n, ring, bytes); !bad) return bad;
  by_chunks(threads, n, [&](std::size_t first, std::size_t count, u64* own) {
    const std::size_t place = place_of(first, ring);
    unpack_run(count * kReluWords, static_cast<unsigned>(ring), words + place, bytes - place, own);
    for (std::size_t i = 0; i < count; ++i) {
      const Opened o = opened_of(shape, opened[first + i]);
      out[first + i] = share_of(o, slopes, o.centre, spread(dhat, first + i), own + kReluWords * i);
    }
  });
  return ok();
}

}  // namespace tacit
