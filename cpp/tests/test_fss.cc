// Comparison keys against known answers and against the comparison itself, and ReLU against integers, on every tier.
#include <algorithm>
#include <cstring>

#include "check.h"
#include "fss/dpf.h"
#include "fss/relu.h"
#include "fss/spline.h"

namespace tacit::test {
namespace {

using Bytes = std::vector<u8>;

constexpr u8 kKeys[2][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                             {16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}};
constexpr RootStream kStreams[2] = {{kKeys[0], 5}, {kKeys[1], 7}};

Bytes keygen(Checks& checks, Tier tier, int threads, i64 m, const Vector& alpha) {
  DpfShape shape{};
  checks.that(bool(dpf_shape(m, alpha.size(), shape)), "dpf_shape runs");
  Bytes out(shape.bytes());
  checks.that(bool(dpf_keygen(tier, threads, shape, m, alpha.data(), kStreams[0], kStreams[1], out.data())),
              "dpf_keygen runs");
  return out;
}

Bytes less(Checks& checks, Tier tier, int threads, i64 m, const Vector& x, unsigned rank, const Bytes& corrections) {
  DpfShape shape{};
  checks.that(bool(dpf_shape(m, x.size(), shape)), "dpf_shape runs");
  Bytes out((x.size() + 7) / 8);
  checks.that(
      bool(dpf_less(tier, threads, shape, m, x.data(), rank, kStreams[rank], corrections.data(), out.data())),
      "dpf_less runs");
  return out;
}

bool bit_of(const Bytes& bits, std::size_t i) { return (bits[i / 8] >> (i % 8) & 1) != 0; }

// Made with a separate program from the definition (Boyle, Gilboa and Ishai, CCS 2016, figure 1).
constexpr i64 kKnownBits = 9;
const Vector kKnownAlpha = {300, 77, 511};
const Vector kKnownX = {299, 77, 12};
const Bytes kKnownCorrections = {
    0x30, 0x33, 0xdc, 0x1a, 0xf8, 0xb7, 0x8a, 0x98, 0xe5, 0xad, 0x67, 0xa5, 0x02, 0x32, 0xf0, 0xcb,
    0x20, 0x5c, 0x78, 0xbd, 0x78, 0x71, 0x25, 0xf7, 0xad, 0xef, 0x4f, 0x41, 0x02, 0xd2, 0x4b, 0x99,
    0x16, 0xfe, 0x08, 0x96, 0x74, 0x99, 0xf6, 0x99, 0x7c, 0x15, 0x18, 0xd7, 0x96, 0xe3, 0x5a, 0x3b,
    0x3a, 0x2a, 0xd6, 0xa7, 0xe9, 0xf6, 0xcf, 0x65, 0x30, 0x2f, 0x39, 0x50, 0x29, 0x2a, 0x49, 0x28,
    0x9a, 0x53, 0x18, 0x78, 0x5e, 0xee, 0x72, 0xcb, 0x58, 0x13, 0x2b, 0x44, 0x98, 0x36, 0xa1, 0xd8,
    0x14, 0xc2, 0x4a, 0x3b, 0x26, 0xe0, 0x68, 0x2e, 0x45, 0x1d, 0xe7, 0x21, 0x38, 0x1c, 0x53, 0x67,
    0x39, 0x33, 0xc3, 0xd1, 0x52, 0x94, 0x53, 0x65, 0x51, 0xe8, 0xda, 0x84, 0x78, 0x48, 0xc1, 0x38,
    0xed, 0x85, 0xa4, 0xcf, 0xc5, 0xc9, 0x68, 0xf3, 0x42, 0xa4, 0x2e, 0xd3, 0xa1, 0xf0, 0xb9, 0x81,
    0xc5, 0x9c, 0x5d, 0x17, 0xc5, 0x77, 0xe2, 0xe6, 0x0c, 0x12, 0x16, 0xce, 0x8c, 0xa8, 0x21, 0x6d,
    0xd6, 0x01};
const Bytes kKnownShares[2] = {{6}, {3}};

const Bytes kKnownSpline = {0x65, 0x06, 0x9c, 0xe3, 0x87, 0x10, 0x13, 0x05, 0xd0, 0xe2, 0x9e, 0x85, 0x84, 0x83, 0x85};

void known_answers(Checks& checks, Tier tier) {
  checks.that(keygen(checks, tier, 1, kKnownBits, kKnownAlpha) == kKnownCorrections,
              name_of(tier) + ": known corrections");
  for (unsigned rank : {0u, 1u}) {
    checks.that(less(checks, tier, 1, kKnownBits, kKnownX, rank, kKnownCorrections) == kKnownShares[rank],
                name_of(tier) + ": known shares of " + std::to_string(rank));
  }
}

void compares(Checks& checks, Tier tier, int threads, i64 m, const Vector& alpha, const Vector& x) {
  const Bytes corrections = keygen(checks, tier, threads, m, alpha);
  const Bytes shares[2] = {less(checks, tier, threads, m, x, 0, corrections),
                           less(checks, tier, threads, m, x, 1, corrections)};
  const u64 mask = (u64{1} << m) - 1;
  bool right = true;
  for (std::size_t i = 0; i < x.size(); ++i) {
    right = right && (bit_of(shares[0], i) != bit_of(shares[1], i)) == ((x[i] & mask) < (alpha[i] & mask));
  }
  checks.that(right, name_of(tier) + ": " + std::to_string(x.size()) + " comparisons of " + std::to_string(m) + " bits");
}

void every_pair(Checks& checks, Tier tier, i64 m) {
  Vector alpha;
  Vector x;
  for (u64 pair = 0; pair < u64{1} << (2 * m); ++pair) {
    alpha.push_back(pair >> m);
    x.push_back(pair & ((u64{1} << m) - 1));
  }
  compares(checks, tier, 1, m, alpha, x);
}

void refusals(Checks& checks) {
  DpfShape shape{};
  checks.that(dpf_shape(0, 1, shape).code == Code::invalid, "m = 0 is refused");
  checks.that(dpf_shape(64, 1, shape).code == Code::invalid, "m = 64 is refused");
  checks.that(dpf_shape(31, std::size_t{1} << 60, shape).code == Code::invalid, "2^60 keys are refused");
  checks.that(bool(dpf_shape(8, 1, shape)), "dpf_shape runs");
  const Vector alpha{1};
  Bytes out(shape.bytes());
  const Tier tier = Tier::portable;
  checks.that(dpf_keygen(tier, 1, shape, 8, alpha.data(), kStreams[0], kStreams[0], out.data()).code == Code::invalid,
              "equal streams are refused");
  checks.that(dpf_less(tier, 1, shape, 8, alpha.data(), 2, kStreams[0], out.data(), out.data()).code == Code::invalid,
              "rank 2 is refused");
  checks.that(check_relu({2, 0}).code == Code::invalid, "k = 2 is refused");
  checks.that(check_relu({8, 7}).code == Code::invalid, "p = k - 1 is refused");
  checks.that(check_spline({8, 0, 4, 1, 8}).code == Code::invalid, "degree 4 is refused");
  checks.that(check_spline({8, 0, 2, 65, 8}).code == Code::invalid, "65 knots are refused");
  checks.that(check_spline({8, 0, 2, 1, 17}).code == Code::invalid, "words of 17 bytes are refused");
}

void relu(Checks& checks, Tier tier, int threads, ReluShape shape, std::size_t n) {
  const Vector lam = noise(n, 1);
  const Vector raw = noise(n, 2);
  const Vector coins = noise(n, 3);
  const u64 half = u64{1} << (shape.bits - 2);
  Bytes flip((n + 7) / 8);
  Bytes dhat((n + 7) / 8);
  Vector opened(n);
  std::vector<i64> y(n);
  for (std::size_t i = 0; i < n; ++i) {
    y[i] = static_cast<i64>(1 + raw[i] % (2 * half - 1)) - static_cast<i64>(half);
    opened[i] = static_cast<u64>(y[i]) + lam[i] + half;
    flip[i / 8] |= static_cast<u8>((coins[i] & 1) << (i % 8));
    dhat[i / 8] |= static_cast<u8>(((coins[i] & 1) ^ (y[i] >= 0 ? 1 : 0)) << (i % 8));
  }
  Bytes words(kReluWords * n * 8);
  Vector client(n);
  Vector server(n);
  checks.that(bool(relu_deal(tier, threads, shape, 64, n, lam.data(), flip.data(), kKeys[0], 9, words.data())),
              "relu_deal runs");
  checks.that(bool(relu_client(tier, threads, shape, {0, 1}, n, opened.data(), dhat.data(), kKeys[0], 9, client.data())),
              "relu_client runs");
  checks.that(bool(relu_server(threads, shape, {0, 1}, 64, n, opened.data(), dhat.data(), words.data(), server.data())),
              "relu_server runs");
  bool right = true;
  for (std::size_t i = 0; i < n; ++i) {
    const u64 more = client[i] + server[i] - (y[i] >= 0 ? static_cast<u64>(y[i] >> shape.shift) : 0);
    right = right && (more == 0 || (more == 1 && y[i] >= 0));
  }
  checks.that(right, name_of(tier) + ": relu at " + std::to_string(shape.bits) + " bits");
}

// Made with a separate program from the definition.
void known_spline(Checks& checks, Tier tier) {
  const SplineShape shape{12, 2, 2, 2, 5};
  const Vector lam{0x123, 0xabc, 0x7ff};
  const Bytes flips{5, 3};
  Bytes words(3 * shape.words() * 5);
  checks.that(bool(spline_deal(tier, 1, shape, 3, lam.data(), flips.data(), kKeys[0], 9, words.data())),
              "spline_deal runs");
  const Bytes known(words.begin(), words.begin() + 15);
  checks.that(known == kKnownSpline, name_of(tier) + ": known words of a spline");
}

// The piecewise polynomial of y, or of its tag when that is one more, on both sides of every knot.
void spline(Checks& checks, Tier tier, int threads, const SplineShape& shape, std::size_t n) {
  const Vector lam = noise(n, 1);
  const Vector raw = noise(n, 2);
  const Vector coins = noise(n, 3);
  const u64 half = u64{1} << (shape.bits - 2);
  const auto knots = static_cast<std::size_t>(shape.knots);
  const auto terms = static_cast<std::size_t>(shape.degree) + 1;
  Vector coeffs = noise((knots + 1) * terms, 4);
  for (u64& c : coeffs) c = static_cast<u64>(static_cast<i64>(c) >> 2);
  const std::size_t row = (n + 7) / 8;
  Bytes flips(knots * row);
  Bytes dhat(knots * row);
  Vector opened(n);
  Vector want(n);
  for (std::size_t i = 0; i < n; ++i) {
    const i64 y = static_cast<i64>(1 + raw[i] % (2 * half - 1)) - static_cast<i64>(half);
    opened[i] = static_cast<u64>(y) + lam[i] + half;
    const auto unused = static_cast<unsigned>(64 - shape.bits);
    const u64 whole = opened[i] << unused >> unused;
    const bool high = (whole >> (shape.bits - 1)) != 0;
    const u64 tag = high ? lam[i] << unused >> unused >> shape.shift
                         : static_cast<u64>(static_cast<i64>(lam[i] << unused) >> unused >> shape.shift);
    const u64 u = (whole >> shape.shift) - (half >> shape.shift) - tag;
    for (std::size_t k = 0; k <= knots; ++k) {
      const bool taken = k == 0 || (coins[i] >> (k % 32) & 1) != 0;
      const bool flip = k != 0 && (coins[i] >> (32 + k % 32) & 1) != 0;
      u64 value = 0;
      for (std::size_t j = terms; j-- > 0;) value = value * u + coeffs[k * terms + j];
      want[i] += taken ? value : 0;
      if (k == 0) continue;
      flips[(k - 1) * row + i / 8] |= static_cast<u8>((flip ? 1 : 0) << (i % 8));
      dhat[(k - 1) * row + i / 8] |= static_cast<u8>((flip != taken ? 1 : 0) << (i % 8));
    }
  }
  Bytes words(n * shape.words() * static_cast<std::size_t>(shape.bytes));
  Vector client(n);
  Vector server(n);
  checks.that(bool(spline_deal(tier, threads, shape, n, lam.data(), flips.data(), kKeys[0], 9, words.data())),
              "spline_deal runs");
  checks.that(bool(spline_client(tier, threads, shape, coeffs.data(), 0, n, opened.data(), dhat.data(), kKeys[0], 9,
                                 client.data())),
              "spline_client runs");
  checks.that(bool(spline_server(threads, shape, coeffs.data(), 0, n, opened.data(), dhat.data(), words.data(),
                                 server.data())),
              "spline_server runs");
  bool right = true;
  for (std::size_t i = 0; i < n; ++i) right = right && client[i] + server[i] == want[i];
  checks.that(right, name_of(tier) + ": spline of degree " + std::to_string(shape.degree));
}

}  // namespace
}  // namespace tacit::test

int main() {
  using namespace tacit::test;
  Checks checks;
  for (tacit::Tier tier : tacit::supported_tiers()) {
    known_answers(checks, tier);
    known_spline(checks, tier);
    for (tacit::i64 degree : {1, 2, 3}) {
      for (std::size_t n : {0, 1, 9, 12, 100}) spline(checks, tier, 1, {40, 12, degree, 16, 8}, n);
      spline(checks, tier, 3, {64, 20, degree, 64, 16}, 2001);
    }
    for (tacit::i64 m = 1; m <= 5; ++m) every_pair(checks, tier, m);
    for (tacit::i64 m : {6, 7, 8, 9, 31, 39, 43, 63}) {
      for (std::size_t n : {0, 1, 3, 31, 32, 33, 64, 99}) compares(checks, tier, 1, m, noise(n, 1), noise(n, 2));
    }
    compares(checks, tier, 3, 31, noise(3001, 1), noise(3001, 2));
    for (std::size_t n : {0, 1, 63, 64, 65, 200}) relu(checks, tier, 1, {24, 14}, n);
    relu(checks, tier, 1, {64, 62}, 100);
    relu(checks, tier, 1, {64, 0}, 100);
    relu(checks, tier, 1, {3, 0}, 100);
    relu(checks, tier, 3, {40, 12}, 60'001);
  }
  refusals(checks);
  return checks.report();
}
