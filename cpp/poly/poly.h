// Polynomials of an opened value on shares of lifted powers of its mask.
//
// A value y, |y| < 2^(k-2), is opened as C = y + lambda + 2^(k-2) mod 2^k. Where the top bit of C is 1 nothing wrapped
// and the unsigned mask is the right tag (variant 0); where it is 0 the signed mask is (variant 1). With c = (C >> p) -
// 2^(k-2-p) and tag = lambda >> p in that reading, c - tag is y >> p within one unit, and P(c - tag) is the sum over j
// of
// (-1)^j t_j tag^j with t_j the Taylor coefficients of P at c: linear in shares of tag^j mod 2^128.
#pragma once

#include "base/status.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

inline constexpr int kMaxDegree = 6;

struct Opening {
  i64 bits;    // k
  i64 shift;   // p
  i64 degree;  // d
  i64 trunc;   // T
};

Status check_opening(const Opening& opening);

// out[n][2][d][2] = (tag_v^j mod 2^128) - share, where the shares are the stream of (key, nonce) in that very order.
Status powers(Tier tier, int threads, const Opening& opening, std::size_t n, const u64* lam, const u8 key[16],
              u64 nonce, u64* out);

// out[n]: the client's part of P, whose shares of the powers are the stream itself. coeffs[d + 1][2] are 128-bit.
Status poly_client(Tier tier, int threads, const Opening& opening, std::size_t n, const u64* opened, const u64* coeffs,
                   const u8 key[16], u64 nonce, u64* out);

// out[n]: the server's part, whose shares are powers[n][2][d][2].
Status poly_server(Tier tier, int threads, const Opening& opening, std::size_t n, const u64* opened, const u64* coeffs,
                   const u64* powers, u64* out);

}  // namespace tacit
