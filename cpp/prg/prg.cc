#include "prg/prg.h"

#include "base/threads.h"
#include "prg/aes.h"

namespace tacit {

const PrgKernels& prg_kernels(Tier tier) {
#if defined(TACIT_X86)
  if (tier == Tier::avx512) return prg_avx512();
  if (tier == Tier::avx2) return prg_avx2();
#endif
  static_cast<void>(tier);
  return prg_portable();
}

Status prg(Tier tier, int threads, const u8 key[16], u64 nonce, u64 first, std::size_t count, u64* out) {
  if (count == 0) return ok();
  if (first > ~u64{0} - (count - 1)) return invalid("first + count must not exceed 2^64");
  const PrgKernels& kernels = prg_kernels(tier);
  RoundKeys keys;
  kernels.expand(key, keys);
  u64 block[2];
  if (first % 2 == 1) {
    kernels.fill(keys, nonce, first / 2, 1, block);
    *out++ = block[1];
    --count;
  }
  const u64 start = first / 2 + first % 2;
  share(workers_for(threads, count / 2, static_cast<double>(count)), count / 2,
        [&](int, std::size_t begin, std::size_t end) {
          kernels.fill(keys, nonce, start + begin, end - begin, out + 2 * begin);
        });
  if (count % 2 == 1) {
    kernels.fill(keys, nonce, start + count / 2, 1, block);
    out[count - 1] = block[0];
  }
  wipe(block, sizeof block);
  return ok();
}

}  // namespace tacit
