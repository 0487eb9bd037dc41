#include "poly/poly.h"

#include "base/threads.h"
#include "poly/kernels.h"

namespace tacit {
namespace {

constexpr std::size_t kChunk = 64;  // elements whose shares stay in the first-level cache
constexpr double kNsPerElement = 20;

const PolyKernels& poly_kernels(Tier tier) {
#if defined(TACIT_X86)
  if (tier != Tier::portable) return poly_avx2();
#endif
  static_cast<void>(tier);
  return poly_portable();
}

// Calls run(first, count) for all chunks of [0, n).
template <class Run>
void by_chunks(int threads, std::size_t n, const Run& run) {
  share(workers_for(threads, n, static_cast<double>(n) * kNsPerElement), n,
        [&](int, std::size_t begin, std::size_t end) {
          for (std::size_t i = begin; i < end; i += kChunk) run(i, std::min(kChunk, end - i));
        });
}

}  // namespace

Status check_opening(const Opening& o) {
  if (o.bits < 3 || o.bits > 64) return invalid("k must be between 3 and 64");
  if (o.shift < 0 || o.shift > o.bits - 2) return invalid("p must be between 0 and k - 2");
  if (o.degree < 1 || o.degree > kMaxDegree) return invalid("the degree must be between 1 and 6");
  if (o.trunc < 0 || o.trunc > 127) return invalid("trunc must be between 0 and 127");
  return ok();
}

Status powers(Tier tier, int threads, const Opening& o, std::size_t n, const u64* lam, const u8 key[16], u64 nonce,
              u64* out) {
  if (Status bad = check_opening(o); !bad) return bad;
  const PrgKernels& prg = prg_kernels(tier);
  const PolyKernels& kernels = poly_kernels(tier);
  RoundKeys keys;
  prg.expand(key, keys);
  const std::size_t blocks = 2 * static_cast<std::size_t>(o.degree);
  by_chunks(threads, n, [&](std::size_t first, std::size_t count) {
    u64* to = out + first * blocks * 2;
    prg.fill(keys, nonce, first * blocks, count * blocks, to);
    kernels.powers(o, count, lam + first, to);
  });
  return ok();
}

Status poly_client(Tier tier, int threads, const Opening& o, std::size_t n, const u64* opened, const u64* coeffs,
                   const u8 key[16], u64 nonce, u64* out) {
  if (Status bad = check_opening(o); !bad) return bad;
  const PrgKernels& prg = prg_kernels(tier);
  const PolyKernels& kernels = poly_kernels(tier);
  RoundKeys keys;
  prg.expand(key, keys);
  by_chunks(threads, n, [&](std::size_t first, std::size_t count) {
    u64 numbers[kChunk * kMaxDegree];
    u64 shares[kChunk * kMaxDegree * 2];
    kernels.select(o, first, count, opened + first, numbers);
    prg.gather(keys, nonce, numbers, count * static_cast<std::size_t>(o.degree), shares);
    kernels.client(o, count, opened + first, coeffs, shares, out + first);
  });
  return ok();
}

Status poly_server(Tier tier, int threads, const Opening& o, std::size_t n, const u64* opened, const u64* coeffs,
                   const u64* powers, u64* out) {
  if (Status bad = check_opening(o); !bad) return bad;
  const PolyKernels& kernels = poly_kernels(tier);
  const std::size_t each = 4 * static_cast<std::size_t>(o.degree);
  by_chunks(threads, n, [&](std::size_t first, std::size_t count) {
    kernels.server(o, count, opened + first, coeffs, powers + first * each, out + first);
  });
  return ok();
}

}  // namespace tacit
