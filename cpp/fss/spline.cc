#include "fss/spline.h"

#include <cstring>

#include "base/memory.h"
#include "base/threads.h"
#include "prg/aes.h"

namespace tacit {
namespace {

constexpr std::size_t kScratchBlocks = 1024;  // 16 KiB: half of the first-level cache
constexpr double kNsPerWord = 3;

static_assert(kScratchBlocks > 2 * kMaxSplineDegree + kMaxKnots * (1 + 2 * kMaxSplineDegree));

u128 low_mask(i64 bytes) { return ~u128{0} >> (128 - 8 * bytes); }

u128 load(const void* from) {
  u128 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// All ones where bit i of a little-endian stream is set.
u64 spread(const u8* bits, std::size_t i) { return -static_cast<u64>(bits[i / 8] >> (i % 8) & 1); }

// What everyone knows of an element.
struct Opened {
  u128 centre;          // c
  std::size_t variant;  // v
};

Opened opened_of(const SplineShape& shape, u64 value) {
  const u64 inside = value & (~u64{0} >> (64 - shape.bits));
  const u64 offset = u64{1} << (shape.bits - 2 - shape.shift);
  const u128 centre = static_cast<u128>(inside >> shape.shift) - offset;  // may take more than 64 bits
  return {centre, static_cast<std::size_t>(~value >> (shape.bits - 1) & 1)};
}

// a w mod 2^128 for a signed a: two multiplications.
u128 times(u64 a, u128 word) {
  const auto low = static_cast<u64>(word);
  const u64 sign = -(a >> 63);
  const u64 high = static_cast<u64>(word >> 64) * a - (low & sign);
  return static_cast<u128>(low) * a + (static_cast<u128>(high) << 64);
}

// The same for any a.
u128 times(u128 a, u128 word) { return a * word; }

u128 widened(u64 a) { return static_cast<u128>(static_cast<__int128>(static_cast<i64>(a))); }

// Sums of a_j w_e, e <= j: what polynomials a in (c - tag) come down to, since (c - tag)^j is the sum over e of
// binomial(j, e) c^(j - e) (-tag)^e.
template <std::size_t D>
struct Moments {
  u128 sum[D + 1][D + 1] = {};  // [e][j]

  // `word(e)` is the share of the e-th power of the tag, times one or a bit.
  template <class Number, class Load>
  void add(const Number* a, const Load& word) {
    for (std::size_t e = 0; e <= D; ++e) {
      const u128 w = word(e);
      for (std::size_t j = e; j <= D; ++j) sum[e][j] += times(a[j], w);
    }
  }

  u128 at(u128 centre) const {
    constexpr u64 kBinomial[4][4] = {{1, 1, 1, 1}, {0, 1, 2, 3}, {0, 0, 1, 3}, {0, 0, 0, 1}};  // [e][j]
    u128 total = 0;
    for (std::size_t e = 0; e <= D; ++e) {
      u128 value = 0;
      for (std::size_t j = D + 1; j-- > e;) value = value * centre + kBinomial[e][j] * sum[e][j];
      total += e % 2 == 1 ? -value : value;
    }
    return total;
  }
};

// A party's part, before it is shifted. `word(j)` is its share of word j; `one` is its share of the number one.
template <std::size_t D, class Load>
u128 part_of(const SplineShape& shape, const u64* coeffs, const Opened& opened, u128 one, const u8* dhat,
             std::size_t row, std::size_t element, const Load& word) {
  constexpr std::size_t kEach = 1 + 2 * D;
  const std::size_t skip = D * opened.variant;
  Moments<D> moments;
  u128 base[D + 1];  // what is added for sure, and the differences whose bit is turned over
  for (std::size_t j = 0; j <= D; ++j) base[j] = widened(coeffs[j]);
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.knots); ++i) {
    const u64 turned = spread(dhat + i * row, element);
    u64 signed_coeffs[D + 1];
    for (std::size_t j = 0; j <= D; ++j) {
      const u64 own = coeffs[(i + 1) * (D + 1) + j];
      base[j] += widened(own & turned);
      signed_coeffs[j] = (own ^ turned) - turned;
    }
    const std::size_t first = 2 * D + i * kEach;
    moments.add(signed_coeffs, [&](std::size_t e) { return word(e == 0 ? first : first + skip + e); });
  }
  moments.add(base, [&](std::size_t e) { return e == 0 ? one : word(skip + e - 1); });
  return moments.at(opened.centre);
}

// Calls run(first, count, scratch) for chunks of [0, n); the scratch words are its own and wiped at the end.
template <class Run>
void by_chunks(int threads, const SplineShape& shape, std::size_t n, const Run& run) {
  const std::size_t words = shape.words();
  const std::size_t chunk = kScratchBlocks / words;
  share(workers_for(threads, n, static_cast<double>(n * words) * kNsPerWord), n,
        [&](int, std::size_t begin, std::size_t end) {
          alignas(64) u64 scratch[2 * kScratchBlocks];
          for (std::size_t i = begin; i < end; i += chunk) run(i, std::min(chunk, end - i), scratch);
          wipe(scratch, sizeof scratch);
        });
}

template <class Run>
void by_degree(i64 degree, const Run& run) {
  if (degree == 1) run.template operator()<1>();
  if (degree == 2) run.template operator()<2>();
  if (degree == 3) run.template operator()<3>();
}

void deal_element(const SplineShape& shape, u64 mask, const u8* flips, std::size_t row, std::size_t element,
                  u128* values) {
  const auto unused = static_cast<unsigned>(64 - shape.bits);
  const i64 wide = static_cast<i64>(mask << unused) >> unused >> shape.shift;
  const u128 tags[2] = {mask << unused >> unused >> shape.shift, static_cast<u128>(static_cast<__int128>(wide))};
  const auto degree = static_cast<std::size_t>(shape.degree);
  for (std::size_t v = 0; v < 2; ++v) {
    u128 power = 1;
    for (std::size_t e = 0; e < degree; ++e) values[v * degree + e] = power *= tags[v];
  }
  u128* to = values + 2 * degree;
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.knots); ++i) {
    const u64 flipped = spread(flips + i * row, element);
    *to++ = flipped & 1;
    const u128 both = static_cast<u128>(flipped) << 64 | flipped;
    for (std::size_t e = 0; e < 2 * degree; ++e) *to++ = values[e] & both;
  }
}

Status check_trunc(const SplineShape& shape, i64 trunc) {
  if (Status bad = check_spline(shape); !bad) return bad;
  if (trunc < 0 || trunc >= 8 * shape.bytes) return invalid("trunc must be less than the bits of a word");
  return ok();
}

}  // namespace

Status check_spline(const SplineShape& shape) {
  if (shape.bits < 3 || shape.bits > 64) return invalid("k must be between 3 and 64");
  if (shape.shift < 0 || shape.shift > shape.bits - 2) return invalid("p must be between 0 and k - 2");
  if (shape.degree < 1 || shape.degree > kMaxSplineDegree) return invalid("the degree must be between 1 and 3");
  if (shape.knots < 0 || shape.knots > kMaxKnots) return invalid("there must be 0 to 64 knots");
  if (shape.bytes < 1 || shape.bytes > 16) return invalid("a word must have 1 to 16 bytes");
  return ok();
}

Status spline_deal(Tier tier, int threads, const SplineShape& shape, std::size_t n, const u64* lam, const u8* flips,
                   const u8 key[16], u64 nonce, u8* out) {
  if (Status bad = check_spline(shape); !bad) return bad;
  const PrgKernels& prg = prg_kernels(tier);
  RoundKeys keys;
  prg.expand(key, keys);
  const std::size_t words = shape.words();
  const auto bytes = static_cast<std::size_t>(shape.bytes);
  by_chunks(threads, shape, n, [&](std::size_t first, std::size_t count, u64* shares) {
    u128 values[kScratchBlocks];
    prg.fill(keys, nonce, first * words, count * words, shares);
    u8* to = out + first * words * bytes;
    const u8* const end = to + count * words * bytes;
    for (std::size_t i = 0; i < count; ++i) {
      deal_element(shape, lam[first + i], flips, (n + 7) / 8, first + i, values);
      for (std::size_t j = 0; j < words; ++j, to += bytes) {
        const u128 rest = values[j] - load(shares + 2 * (i * words + j));
        std::memcpy(to, &rest, to + sizeof rest <= end ? sizeof rest : bytes);  // what is too much, the next overwrites
      }
    }
    wipe(values, words * sizeof(u128));
  });
  return ok();
}

Status spline_client(Tier tier, int threads, const SplineShape& shape, const u64* coeffs, i64 trunc, std::size_t n,
                     const u64* opened, const u8* dhat, const u8 key[16], u64 nonce, u64* out) {
  if (Status bad = check_trunc(shape, trunc); !bad) return bad;
  const PrgKernels& prg = prg_kernels(tier);
  RoundKeys keys;
  prg.expand(key, keys);
  const std::size_t words = shape.words();
  by_chunks(threads, shape, n, [&](std::size_t first, std::size_t count, u64* shares) {
    prg.fill(keys, nonce, first * words, count * words, shares);
    by_degree(shape.degree, [&]<std::size_t D>() {
      for (std::size_t i = 0; i < count; ++i) {
        const u64* own = shares + 2 * i * words;
        const u128 part =
            part_of<D>(shape, coeffs, opened_of(shape, opened[first + i]), 0, dhat, (n + 7) / 8, first + i,
                       [own](std::size_t j) { return load(own + 2 * j); }) & low_mask(shape.bytes);
        out[first + i] = static_cast<u64>(part >> trunc);
      }
    });
  });
  return ok();
}

Status spline_server(int threads, const SplineShape& shape, const u64* coeffs, i64 trunc, std::size_t n,
                     const u64* opened, const u8* dhat, const u8* words, u64* out) {
  if (Status bad = check_trunc(shape, trunc); !bad) return bad;
  const auto bytes = static_cast<std::size_t>(shape.bytes);
  const std::size_t each = shape.words() * bytes;
  by_chunks(threads, shape, n, [&](std::size_t first, std::size_t count, u64* scratch) {
    const u8* own = words + first * each;
    if ((n - first - count) * each < sizeof(u128)) {  // words are read sixteen bytes at a time: not beyond the end
      std::memcpy(scratch, own, count * each);
      own = reinterpret_cast<const u8*>(scratch);
    }
    by_degree(shape.degree, [&]<std::size_t D>() {
      for (std::size_t i = 0; i < count; ++i, own += each) {
        const u128 part =
            part_of<D>(shape, coeffs, opened_of(shape, opened[first + i]), 1, dhat, (n + 7) / 8, first + i,
                       [own, bytes](std::size_t j) { return load(own + j * bytes); });
        out[first + i] = -static_cast<u64>((-part & low_mask(shape.bytes)) >> trunc);
      }
    });
  });
  return ok();
}

}  // namespace tacit
