// The loops over 128-bit integers in plain C++.
#include "poly/kernels.h"

namespace tacit {
namespace {

#include "poly/kernels.inl"

}  // namespace

const PolyKernels& poly_portable() {
  static constexpr PolyKernels table{powers, select, client, server};
  return table;
}

}  // namespace tacit
