// Both parties' parts of a polynomial sum to the polynomial, on every tier.
#include <algorithm>

#include "check.h"
#include "poly/poly.h"

namespace tacit::test {
namespace {

constexpr u8 kKey[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

u64 distance(u64 a, u64 b) { return std::min(a - b, b - a); }

void sums(Checks& checks, Tier tier, i64 bits, i64 shift, i64 degree, std::size_t n) {
  const Opening o{bits, shift, degree, 20};
  const Vector lam = noise(n, 1);
  const Vector raw = noise(n, 2);
  Vector coeffs;
  for (i64 i = 0; i <= degree; ++i) {
    const i64 a = (i % 2 == 0 ? 1 : -1) * ((5 + i) << 20);
    coeffs.push_back(static_cast<u64>(a));
    coeffs.push_back(a < 0 ? ~u64{0} : 0);
  }
  Vector opened(n);
  std::vector<i64> y(n);
  for (std::size_t i = 0; i < n; ++i) {
    const u64 half = u64{1} << (bits - 2);
    y[i] = static_cast<i64>(1 + raw[i] % (2 * half - 1)) - static_cast<i64>(half);
    opened[i] = static_cast<u64>(y[i]) + lam[i] + half;
  }
  const auto d = static_cast<std::size_t>(degree);
  Vector shares(n * 4 * d);
  Vector client(n);
  Vector server(n);
  checks.that(bool(powers(tier, 2, o, n, lam.data(), kKey, 9, shares.data())), "powers runs");
  checks.that(bool(poly_client(tier, 2, o, n, opened.data(), coeffs.data(), kKey, 9, client.data())),
              "poly_client runs");
  checks.that(bool(poly_server(tier, 2, o, n, opened.data(), coeffs.data(), shares.data(), server.data())),
              "poly_server runs");
  bool close = true;
  for (std::size_t i = 0; i < n; ++i) {
    bool one = false;
    for (i64 x : {y[i] >> shift, (y[i] >> shift) + 1}) {
      i64 value = 0;
      for (i64 j = degree; j >= 0; --j) value = value * x + (j % 2 == 0 ? 1 : -1) * (5 + j);
      one = one || distance(client[i] + server[i], static_cast<u64>(value)) <= 1;
    }
    close = close && one;
  }
  checks.that(close, name_of(tier) + ": degree " + std::to_string(degree) + " at " + std::to_string(bits) + " bits");
}

}  // namespace
}  // namespace tacit::test

int main() {
  tacit::test::Checks checks;
  for (tacit::Tier tier : tacit::supported_tiers()) {
    for (tacit::i64 degree = 1; degree <= 6; ++degree) {
      for (std::size_t n : {0, 1, 63, 64, 65, 200}) tacit::test::sums(checks, tier, 24, 14, degree, n);
    }
    tacit::test::sums(checks, tier, 64, 54, 4, 1000);
    tacit::test::sums(checks, tier, 40, 30, 4, 20'000);
    tacit::test::sums(checks, tier, 3, 0, 2, 100);
    tacit::test::sums(checks, tier, 10, 8, 6, 100);
  }
  checks.that(tacit::check_opening({2, 0, 1, 0}).code == tacit::Code::invalid, "k = 2 is refused");
  checks.that(tacit::check_opening({8, 7, 1, 0}).code == tacit::Code::invalid, "p = k - 1 is refused");
  checks.that(tacit::check_opening({8, 6, 7, 0}).code == tacit::Code::invalid, "degree 7 is refused");
  checks.that(tacit::check_opening({8, 6, 1, 128}).code == tacit::Code::invalid, "T = 128 is refused");
  return checks.report();
}
