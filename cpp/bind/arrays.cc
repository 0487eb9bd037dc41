#include "bind/arrays.h"

#include <new>

namespace tacit::bind {
namespace {

template <class T>
constexpr const char* kTypeName = sizeof(T) == 8 ? "uint64" : sizeof(T) == 4 ? "uint32" : "uint8";

bool contiguous(const nb::ndarray<nb::ro>& a) {
  i64 step = 1;
  for (std::size_t i = a.ndim(); i-- > 0;) {
    if (a.shape(i) != 1 && a.stride(i) != step) return false;
    step *= static_cast<i64>(a.shape(i));
  }
  return true;
}

template <class T>
nb::object hand_over(std::unique_ptr<T[], Free> words, const std::vector<std::size_t>& shape) {
  T* data = words.get();
  nb::capsule owner(data, [](void* p) noexcept { Free{}(p); });
  static_cast<void>(words.release());
  return nb::ndarray<nb::numpy, T>(data, shape.size(), shape.data(), owner).cast();
}

}  // namespace

template <class T>
Array<T> take(nb::handle object, const char* name, int rank) {
  const std::string who(name);
  nb::ndarray<nb::ro> a;
  if (!nb::ndarray_check(object) || !nb::try_cast(object, a, false) || a.device_type() != nb::device::cpu::value) {
    throw nb::type_error((who + " must be a numpy array of " + kTypeName<T>).c_str());
  }
  if (a.dtype() != nb::dtype<T>()) throw nb::type_error((who + " must have dtype " + kTypeName<T>).c_str());
  if (rank != kAnyRank && a.ndim() != static_cast<std::size_t>(rank)) {
    throw nb::value_error(
        (who + " must have " + std::to_string(rank) + " dimensions, not " + std::to_string(a.ndim())).c_str());
  }
  if (a.size() != 0 && !contiguous(a)) throw nb::value_error((who + " must be C-contiguous").c_str());
  if (reinterpret_cast<std::uintptr_t>(a.data()) % alignof(T) != 0)
    throw nb::value_error((who + " must be aligned").c_str());
  std::vector<std::size_t> shape;
  for (std::size_t i = 0; i < a.ndim(); ++i) shape.push_back(a.shape(i));
  const std::size_t size = a.size();
  const auto* data = static_cast<const T*>(a.data());
  return {std::move(a), data, std::move(shape), size};
}

template Array<u64> take<u64>(nb::handle, const char*, int);
template Array<u32> take<u32>(nb::handle, const char*, int);
template Array<u8> take<u8>(nb::handle, const char*, int);

bool is_halves(nb::handle object) {
  nb::ndarray<nb::ro> a;
  return nb::ndarray_check(object) && nb::try_cast(object, a, false) && a.dtype() == nb::dtype<u32>();
}

Array<u8> take_bytes(nb::handle object, const char* name, std::size_t size) {
  auto bytes = take<u8>(object, name, 1);
  if (bytes.size == size) return bytes;
  const std::string text =
      std::string(name) + " must be " + std::to_string(size) + " bytes, not " + std::to_string(bytes.size);
  throw nb::value_error(text.c_str());
}

Array<u8> take_bits(nb::handle object, const char* name, std::size_t n, std::size_t rows) {
  const std::size_t row = (n + 7) / 8;
  auto bits = take_bytes(object, name, rows * row);
  for (std::size_t i = 0; n % 8 != 0 && i < rows; ++i) {
    if (bits.data[(i + 1) * row - 1] >> (n % 8) != 0) {
      throw nb::value_error((std::string(name) + " has padding bits that are not zero").c_str());
    }
  }
  return bits;
}

void same_shape(const std::vector<std::size_t>& shape, const std::vector<std::size_t>& wanted, const char* name) {
  if (shape == wanted) return;
  std::string text = std::string(name) + " must have shape (";
  for (std::size_t size : wanted) text += std::to_string(size) + ",";
  throw nb::value_error((text + ")").c_str());
}

const u8* take_key(const nb::bytes& key) {
  if (key.size() != 16) throw nb::value_error("key must be 16 bytes");
  return static_cast<const u8*>(key.data());
}

Tier take_tier(std::string_view name) {
  Tier tier{};
  check(choose_tier(name, tier));
  return tier;
}

void check_threads(int threads) {
  if (threads < 1) throw nb::value_error("threads must be 1 or more");
}

void check(const Status& status) {
  if (status.code == Code::invalid) throw nb::value_error(status.text.c_str());
  if (status.code == Code::no_memory) throw std::bad_alloc();
}

Words new_words(const std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  for (std::size_t size : shape) {
    if (!product({count, size}, count)) throw std::bad_alloc();
  }
  Words words = allocate_words(count);
  if (!words) throw std::bad_alloc();
  return words;
}

Bytes new_bytes(std::size_t size) {
  Bytes bytes = allocate_bytes(size);
  if (!bytes) throw std::bad_alloc();
  return bytes;
}

nb::object to_numpy(Words words, const std::vector<std::size_t>& shape) {
  return hand_over<u64>(std::move(words), shape);
}
nb::object to_numpy(Bytes bytes, std::size_t size) { return hand_over<u8>(std::move(bytes), {size}); }

}  // namespace tacit::bind
