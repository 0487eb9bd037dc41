#include "ring/kernels.h"

namespace tacit {

const RingKernels& ring_kernels(Tier tier) {
#if defined(TACIT_X86)
  if (tier == Tier::avx512) return ring_avx512();
  if (tier == Tier::avx2) return ring_avx2();
#endif
  static_cast<void>(tier);
  return ring_portable();
}

}  // namespace tacit
