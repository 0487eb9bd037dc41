// GF(2^8) of AES as GF(16)[z] / (z^2 + z + N) over GF(16) = GF(2)[y] / (y^4 + y + 1), where inversion is cheap in
// gates.
//
// Everything here runs in the compiler: it finds an isomorphism and hands bit matrices to the bitsliced code.
#pragma once

#include "base/types.h"

namespace tacit::tower {

// y^3: z^2 + z + y^3 has no root in GF(16).
inline constexpr unsigned kNorm = 8;

constexpr unsigned multiply16(unsigned a, unsigned b) {
  unsigned wide = 0;
  for (unsigned i = 0; i < 4; ++i) wide ^= (b >> i & 1) * (a << i);
  for (unsigned i = 6; i >= 4; --i) wide ^= (wide >> i & 1) * (0x13u << (i - 4));
  return wide;
}

// Elements are (high << 4 | low) for high z + low.
constexpr unsigned multiply256(unsigned a, unsigned b) {
  const unsigned high = multiply16(a >> 4, b >> 4);
  const unsigned low = multiply16(a & 15, b & 15);
  const unsigned cross = multiply16((a >> 4) ^ (a & 15), (b >> 4) ^ (b & 15));
  return (cross ^ low) << 4 | (low ^ multiply16(high, kNorm));
}

// A square bit matrix: bit i of the image of x is the parity of row[i] & x.
struct Matrix {
  unsigned row[8] = {};

  constexpr unsigned operator()(unsigned x) const {
    unsigned out = 0;
    for (unsigned i = 0; i < 8; ++i) out |= static_cast<unsigned>(__builtin_parity(row[i] & x)) << i;
    return out;
  }
};

constexpr bool is_root(unsigned g) {
  // x^8 + x^4 + x^3 + x + 1, by Horner
  unsigned value = 0;
  for (unsigned i = 9; i-- > 0;) value = multiply256(value, g) ^ (0x11bu >> i & 1);
  return value == 0;
}

// x of AES's field to a root of its polynomial in the tower.
constexpr Matrix to_tower() {
  unsigned root = 2;
  while (!is_root(root)) ++root;
  Matrix out;
  unsigned power = 1;
  for (unsigned column = 0; column < 8; ++column) {
    for (unsigned i = 0; i < 8; ++i) out.row[i] |= (power >> i & 1) << column;
    power = multiply256(power, root);
  }
  return out;
}

// The inverse of to_tower followed by the linear part of the S-box (FIPS 197, 5.1.1).
constexpr Matrix from_tower_to_sbox() {
  const Matrix forth = to_tower();
  Matrix out;
  for (unsigned x = 0; x < 256; ++x) {
    const unsigned image = forth(x);
    if ((image & (image - 1)) != 0 || image == 0) continue;
    const auto column = static_cast<unsigned>(__builtin_ctz(image));
    for (unsigned i = 0; i < 8; ++i) {
      unsigned bit = x >> i & 1;
      for (unsigned j = 4; j < 8; ++j) bit ^= x >> ((i + j) % 8) & 1;
      out.row[i] |= bit << column;
    }
  }
  return out;
}

inline constexpr Matrix kToTower = to_tower();
inline constexpr Matrix kFromTower = from_tower_to_sbox();

}  // namespace tacit::tower
