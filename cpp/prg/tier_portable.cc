// AES-128 counter mode in plain C++, eight bitsliced blocks at once.
#include <cstring>

#include "prg/aes.h"
#include "prg/tower.h"

namespace tacit {
namespace {

#include "prg/bitsliced.inl"

void expand(const u8 key[16], RoundKeys& keys) {
  u8* w = keys.bytes;
  std::memcpy(w, key, 16);
  unsigned constant = 1;
  for (unsigned round = 0; round < 10; ++round, w += 16) {
    u8 last[16 * kBlocks] = {w[13], w[14], w[15], w[12]};
    unslice(substitute(slice(last)), last);
    last[0] ^= static_cast<u8>(constant);
    constant = constant << 1 ^ (constant >> 7) * 0x11b;  // public
    for (unsigned i = 0; i < 4; ++i) w[16 + i] = w[i] ^ last[i];
    for (unsigned i = 4; i < 16; ++i) w[16 + i] = w[i] ^ w[12 + i];
    wipe(last, sizeof last);
  }
}

template <class Number>
void stream(const RoundKeys& keys, u64 nonce, const Number& number, std::size_t n, u64* out) {
  const SlicedKeys sliced(keys);
  u64 blocks[2 * kBlocks];
  u8 bytes[sizeof blocks];
  for (std::size_t i = 0; i < n; i += kBlocks) {
    const std::size_t now = n - i < kBlocks ? n - i : kBlocks;
    for (std::size_t j = 0; j < kBlocks; ++j) {
      blocks[2 * j] = number(j < now ? i + j : i);
      blocks[2 * j + 1] = nonce;
    }
    std::memcpy(bytes, blocks, sizeof blocks);
    encrypt(sliced, bytes);
    std::memcpy(out + 2 * i, bytes, 16 * now);
  }
  wipe(bytes, sizeof bytes);
}

void fill(const RoundKeys& keys, u64 nonce, u64 first, std::size_t n, u64* out) {
  stream(keys, nonce, [first](std::size_t i) { return first + i; }, n, out);
}

void gather(const RoundKeys& keys, u64 nonce, const u64* numbers, std::size_t n, u64* out) {
  stream(keys, nonce, [numbers](std::size_t i) { return numbers[i]; }, n, out);
}

}  // namespace

const PrgKernels& prg_portable() {
  static constexpr PrgKernels table{expand, fill, gather};
  return table;
}

}  // namespace tacit
