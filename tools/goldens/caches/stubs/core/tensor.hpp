#pragma once
#include <cstdint>
#include <vector>
namespace sd {
template <typename T>
struct Tensor {
    std::vector<T> values;
    bool empty() const { return values.empty(); }
    int64_t numel() const { return static_cast<int64_t>(values.size()); }
    const T* data() const { return values.data(); }
    T* data() { return values.data(); }
};
}  // namespace sd
