// AES-128 in plain C++, bitsliced: no table look-up and no branch depends on the key or the data.
//
// Eight planes hold the bits of 64 bytes, four blocks: bit j of plane b is bit b of byte j. The S-box is the inverse in
// GF(2^8) as x^254 and the affine map of FIPS 197, 5.1.1.
#include <cstring>

#include "prg/aes.h"

namespace tacit {
namespace {

constexpr std::size_t kBlocks = 4;  // at once

struct Planes {
  u64 bit[8];
};

u64 swap_bits(u64 x, u64 mask, unsigned by) {
  const u64 t = (x ^ (x >> by)) & mask;
  return x ^ t ^ (t << by);
}

// Bit (row, column) of an 8 x 8 matrix to (column, row).
u64 transpose(u64 x) {
  x = swap_bits(x, 0x00aa00aa00aa00aa, 7);
  x = swap_bits(x, 0x0000cccc0000cccc, 14);
  return swap_bits(x, 0x00000000f0f0f0f0, 28);
}

Planes slice(const u8 bytes[64]) {
  Planes p{};
  for (unsigned j = 0; j < 8; ++j) {
    u64 word = 0;
    std::memcpy(&word, bytes + 8 * j, 8);
    word = transpose(word);
    for (unsigned b = 0; b < 8; ++b) p.bit[b] |= (word >> (8 * b) & 0xff) << (8 * j);
  }
  return p;
}

void unslice(const Planes& p, u8 bytes[64]) {
  for (unsigned j = 0; j < 8; ++j) {
    u64 word = 0;
    for (unsigned b = 0; b < 8; ++b) word |= (p.bit[b] >> (8 * j) & 0xff) << (8 * b);
    word = transpose(word);
    std::memcpy(bytes + 8 * j, &word, 8);
  }
}

// Multiplication by x modulo x^8 + x^4 + x^3 + x + 1.
Planes times_x(const Planes& a) {
  const u64 top = a.bit[7];
  return {{top, a.bit[0] ^ top, a.bit[1], a.bit[2] ^ top, a.bit[3] ^ top, a.bit[4], a.bit[5], a.bit[6]}};
}

// The remainder of a polynomial of degree 14.
Planes reduce(u64 (&wide)[15]) {
  Planes out;
  for (unsigned i = 14; i >= 8; --i) {
    wide[i - 4] ^= wide[i];
    wide[i - 5] ^= wide[i];
    wide[i - 7] ^= wide[i];
    wide[i - 8] ^= wide[i];
  }
  for (unsigned i = 0; i < 8; ++i) out.bit[i] = wide[i];
  return out;
}

Planes multiply(const Planes& a, const Planes& b) {
  u64 wide[15] = {};
  for (unsigned i = 0; i < 8; ++i) {
    for (unsigned j = 0; j < 8; ++j) wide[i + j] ^= a.bit[i] & b.bit[j];
  }
  return reduce(wide);
}

Planes square(const Planes& a) {
  u64 wide[15] = {};
  for (unsigned i = 0; i < 8; ++i) wide[2 * i] = a.bit[i];
  return reduce(wide);
}

Planes substitute(const Planes& x) {
  const Planes x2 = square(x);
  const Planes x3 = multiply(x2, x);
  const Planes x12 = square(square(x3));
  const Planes x15 = multiply(x12, x3);
  const Planes x240 = square(square(square(square(x15))));
  const Planes inverse = multiply(multiply(x240, x12), x2);
  Planes out;
  for (unsigned i = 0; i < 8; ++i) {
    u64 bit = inverse.bit[i];
    for (unsigned j = 4; j < 8; ++j) bit ^= inverse.bit[(i + j) % 8];
    out.bit[i] = (0x63u >> i & 1u) != 0 ? ~bit : bit;
  }
  return out;
}

// Byte 4 * column + row of each block comes from column + row.
void shift_rows(Planes& p) {
  for (u64& x : p.bit) {
    u64 out = x & 0x1111111111111111;
    out |= (x >> 4 & 0x0222022202220222) | (x << 12 & 0x2000200020002000);
    out |= (x >> 8 & 0x0044004400440044) | (x << 8 & 0x4400440044004400);
    out |= (x >> 12 & 0x0008000800080008) | (x << 4 & 0x8880888088808880);
    x = out;
  }
}

u64 next_row(u64 x) { return (x >> 1 & 0x7777777777777777) | (x << 3 & 0x8888888888888888); }
u64 row_after_next(u64 x) { return (x >> 2 & 0x3333333333333333) | (x << 2 & 0xcccccccccccccccc); }

void mix_columns(Planes& p) {
  Planes sum;
  for (unsigned b = 0; b < 8; ++b) sum.bit[b] = p.bit[b] ^ next_row(p.bit[b]);
  const Planes doubled = times_x(sum);
  for (unsigned b = 0; b < 8; ++b) p.bit[b] = doubled.bit[b] ^ next_row(p.bit[b]) ^ row_after_next(sum.bit[b]);
}

void add_key(Planes& p, const Planes& key) {
  for (unsigned b = 0; b < 8; ++b) p.bit[b] ^= key.bit[b];
}

void expand(const u8 key[16], RoundKeys& keys) {
  u8* w = keys.bytes;
  std::memcpy(w, key, 16);
  unsigned constant = 1;
  for (unsigned round = 0; round < 10; ++round, w += 16) {
    u8 last[64] = {w[13], w[14], w[15], w[12]};
    unslice(substitute(slice(last)), last);
    last[0] ^= static_cast<u8>(constant);
    constant = constant << 1 ^ (constant >> 7) * 0x11b;  // public
    for (unsigned i = 0; i < 4; ++i) w[16 + i] = w[i] ^ last[i];
    for (unsigned i = 4; i < 16; ++i) w[16 + i] = w[i] ^ w[12 + i];
    wipe(last, sizeof last);
  }
}

struct SlicedKeys {
  Planes round[11];

  explicit SlicedKeys(const RoundKeys& keys) {
    u8 copies[64];
    for (unsigned r = 0; r < 11; ++r) {
      for (unsigned i = 0; i < kBlocks; ++i) std::memcpy(copies + 16 * i, keys.bytes + 16 * r, 16);
      round[r] = slice(copies);
    }
    wipe(copies, sizeof copies);
  }
  ~SlicedKeys() { wipe(round, sizeof round); }
};

void encrypt(const SlicedKeys& keys, u8 blocks[64]) {
  Planes p = slice(blocks);
  add_key(p, keys.round[0]);
  for (unsigned r = 1; r < 10; ++r) {
    p = substitute(p);
    shift_rows(p);
    mix_columns(p);
    add_key(p, keys.round[r]);
  }
  p = substitute(p);
  shift_rows(p);
  add_key(p, keys.round[10]);
  unslice(p, blocks);
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
