// Piecewise polynomials of an opened value, truncated, given the masked sides of its knots.
//
// As in poly/poly.h, y with |y| < 2^(k-2) is opened as C; u = c - tag_v is y >> p or one more. With polynomials P_0, ...,
// P_n and d_i = [u >= t_i] for knots t_1 < ... < t_n,
//
//     P(u) = P_0(u) + sum of d_i (P_i - P_(i-1))(u)
//
// is exact in integers, and d_i is known as dhat_i = d_i ^ r_i for secret bits r_i, so it is linear in shares of tag_v^e,
// r_i and r_i tag_v^e, e = 1 ... D. Words are of W = 8 `bytes` bits, arithmetic is mod 2^W, and the parts of the result
// are shifted down by T, which fails with probability |P(u)| / 2^W only.
//
// The words of an element, in order: tag_0^1 ... tag_0^D, tag_1^1 ... tag_1^D, and for each knot r_i, r_i tag_0^1 ...
// r_i tag_0^D, r_i tag_1^1 ... r_i tag_1^D.
#pragma once

#include "base/status.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

inline constexpr i64 kMaxSplineDegree = 3;
inline constexpr i64 kMaxKnots = 64;

struct SplineShape {
  i64 bits;    // k, 3 to 64
  i64 shift;   // p, 0 to k - 2
  i64 degree;  // D, 1 to 3
  i64 knots;   // n, 0 to 64
  i64 bytes;   // of a word, 1 to 16

  std::size_t words() const { return static_cast<std::size_t>(2 * degree + knots * (1 + 2 * degree)); }
};

Status check_spline(const SplineShape& shape);

// out[n][words][bytes]: the words less the client's shares. The client's share of word j of element e is block
// words * e + j of the stream. flips[knots][ceil(n / 8)] holds the bits r_i.
Status spline_deal(Tier tier, int threads, const SplineShape& shape, std::size_t n, const u64* lam, const u8* flips,
                   const u8 key[16], u64 nonce, u8* out);

// out[n]: the client's part of P(u) >> trunc. coeffs[knots + 1][D + 1] are the coefficients, from the constant up, of
// P_0 and of the differences P_i - P_(i-1), signed and of 63 bits; dhat[knots][ceil(n / 8)] the bits d_i ^ r_i.
Status spline_client(Tier tier, int threads, const SplineShape& shape, const u64* coeffs, i64 trunc, std::size_t n,
                     const u64* opened, const u8* dhat, const u8 key[16], u64 nonce, u64* out);

// out[n]: the server's part, from its words[n][words][bytes].
Status spline_server(int threads, const SplineShape& shape, const u64* coeffs, i64 trunc, std::size_t n,
                     const u64* opened, const u8* dhat, const u8* words, u64* out);

}  // namespace tacit
