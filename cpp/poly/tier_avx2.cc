// The loops over 128-bit integers with MULX (BMI2), for both x86 tiers.
#include "poly/kernels.h"

namespace tacit {
namespace {

#include "poly/kernels.inl"

}  // namespace

const PolyKernels& poly_avx2() {
  static constexpr PolyKernels table{powers, select, client, server};
  return table;
}

}  // namespace tacit
