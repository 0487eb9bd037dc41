// Bitsliced AES-128 that portable tiers include inside their own unnamed namespace, after prg/aes.h and prg/tower.h: no
// table look-up and no branch depends on the key or the data.
//
// Eight planes hold the bits of 128 bytes, eight blocks: in each of a plane's two words, bit j is a bit of byte j of
// four blocks. The S-box is an inversion in a tower of fields (Satoh et al., 2001) and the affine map of FIPS
// 197, 5.1.1.

constexpr std::size_t kBlocks = 8;  // at once
constexpr unsigned kWords = 2;

using Word = u64 __attribute__((vector_size(8 * kWords)));

struct Planes {
  Word bit[8];
};

// An element of GF(16) in each bit position.
struct Nibble {
  Word bit[4];
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

Planes slice(const u8* bytes) {
  Planes p{};
  for (unsigned j = 0; j < 8 * kWords; ++j) {
    u64 word = 0;
    std::memcpy(&word, bytes + 8 * j, 8);
    word = transpose(word);
    for (unsigned b = 0; b < 8; ++b) p.bit[b][j / 8] |= (word >> (8 * b) & 0xff) << (8 * (j % 8));
  }
  return p;
}

void unslice(const Planes& p, u8* bytes) {
  for (unsigned j = 0; j < 8 * kWords; ++j) {
    u64 word = 0;
    for (unsigned b = 0; b < 8; ++b) word |= (p.bit[b][j / 8] >> (8 * (j % 8)) & 0xff) << (8 * b);
    word = transpose(word);
    std::memcpy(bytes + 8 * j, &word, 8);
  }
}

inline Nibble operator^(const Nibble& a, const Nibble& b) {
  return {{a.bit[0] ^ b.bit[0], a.bit[1] ^ b.bit[1], a.bit[2] ^ b.bit[2], a.bit[3] ^ b.bit[3]}};
}

// Modulo y^4 + y + 1.
inline Nibble operator*(const Nibble& a, const Nibble& b) {
  const Word* x = a.bit;
  const Word* y = b.bit;
  const Word w4 = (x[1] & y[3]) ^ (x[2] & y[2]) ^ (x[3] & y[1]);
  const Word w5 = (x[2] & y[3]) ^ (x[3] & y[2]);
  const Word w6 = x[3] & y[3];
  return {{(x[0] & y[0]) ^ w4, (x[0] & y[1]) ^ (x[1] & y[0]) ^ w4 ^ w5,
           (x[0] & y[2]) ^ (x[1] & y[1]) ^ (x[2] & y[0]) ^ w5 ^ w6,
           (x[0] & y[3]) ^ (x[1] & y[2]) ^ (x[2] & y[1]) ^ (x[3] & y[0]) ^ w6}};
}

inline Nibble square(const Nibble& a) { return {{a.bit[0] ^ a.bit[2], a.bit[2], a.bit[1] ^ a.bit[3], a.bit[3]}}; }

// a * y^3
inline Nibble times_norm(const Nibble& a) {
  static_assert(tower::kNorm == 8);
  return {{a.bit[1], a.bit[1] ^ a.bit[2], a.bit[2] ^ a.bit[3], a.bit[0] ^ a.bit[3]}};
}

inline Planes apply(const tower::Matrix& matrix, const Planes& x) {
  Planes out{};
#pragma GCC unroll 8
  for (unsigned i = 0; i < 8; ++i) {
#pragma GCC unroll 8
    for (unsigned j = 0; j < 8; ++j) {
      if ((matrix.row[i] >> j & 1) != 0) out.bit[i] ^= x.bit[j];
    }
  }
  return out;
}

inline Planes substitute(const Planes& x) {
  const Planes t = apply(tower::kToTower, x);
  const Nibble low{{t.bit[0], t.bit[1], t.bit[2], t.bit[3]}};
  const Nibble high{{t.bit[4], t.bit[5], t.bit[6], t.bit[7]}};
  // (high z + low)^-1 = (high z + high + low) / d with d = high^2 N + high low + low^2, and d^-1 = d^14
  const Nibble d = times_norm(square(high)) ^ (low * (high ^ low));
  const Nibble d2 = square(d);
  const Nibble d4 = square(d2);
  const Nibble over = d2 * (d4 * square(d4));
  const Nibble a = high * over;
  const Nibble b = (high ^ low) * over;
  Planes out =
      apply(tower::kFromTower, {{b.bit[0], b.bit[1], b.bit[2], b.bit[3], a.bit[0], a.bit[1], a.bit[2], a.bit[3]}});
  for (unsigned i : {0u, 1u, 5u, 6u}) out.bit[i] = ~out.bit[i];  // + 0x63
  return out;
}

// Multiplication by x modulo x^8 + x^4 + x^3 + x + 1.
Planes times_x(const Planes& a) {
  const Word top = a.bit[7];
  return {{top, a.bit[0] ^ top, a.bit[1], a.bit[2] ^ top, a.bit[3] ^ top, a.bit[4], a.bit[5], a.bit[6]}};
}

// Byte 4 * column + row of each block comes from column + row.
void shift_rows(Planes& p) {
  for (Word& x : p.bit) {
    Word out = x & 0x1111111111111111;
    out |= (x >> 4 & 0x0222022202220222) | (x << 12 & 0x2000200020002000);
    out |= (x >> 8 & 0x0044004400440044) | (x << 8 & 0x4400440044004400);
    out |= (x >> 12 & 0x0008000800080008) | (x << 4 & 0x8880888088808880);
    x = out;
  }
}

Word next_row(Word x) { return (x >> 1 & 0x7777777777777777) | (x << 3 & 0x8888888888888888); }
Word row_after_next(Word x) { return (x >> 2 & 0x3333333333333333) | (x << 2 & 0xcccccccccccccccc); }

void mix_columns(Planes& p) {
  Planes sum;
  for (unsigned b = 0; b < 8; ++b) sum.bit[b] = p.bit[b] ^ next_row(p.bit[b]);
  const Planes doubled = times_x(sum);
  for (unsigned b = 0; b < 8; ++b) p.bit[b] = doubled.bit[b] ^ next_row(p.bit[b]) ^ row_after_next(sum.bit[b]);
}

void add_key(Planes& p, const Planes& key) {
  for (unsigned b = 0; b < 8; ++b) p.bit[b] ^= key.bit[b];
}

// Round keys for kBlocks blocks under one key.
struct SlicedKeys {
  Planes round[11];

  explicit SlicedKeys(const RoundKeys& keys) {
    u8 copies[16 * kBlocks];
    for (unsigned r = 0; r < 11; ++r) {
      for (unsigned i = 0; i < kBlocks; ++i) std::memcpy(copies + 16 * i, keys.bytes + 16 * r, 16);
      round[r] = slice(copies);
    }
    wipe(copies, sizeof copies);
  }
  SlicedKeys(const SlicedKeys&) = delete;
  SlicedKeys& operator=(const SlicedKeys&) = delete;
  ~SlicedKeys() { wipe(round, sizeof round); }

  const Planes& operator()(unsigned r) const { return round[r]; }
};

// Encrypts kBlocks blocks in place; key(r) gives the planes of round key r, which may differ from block to block.
template <class Key>
void encrypt(const Key& key, u8* blocks) {
  Planes p = slice(blocks);
  add_key(p, key(0));
  for (unsigned r = 1; r < 10; ++r) {
    p = substitute(p);
    shift_rows(p);
    mix_columns(p);
    add_key(p, key(r));
  }
  p = substitute(p);
  shift_rows(p);
  add_key(p, key(10));
  unslice(p, blocks);
}
