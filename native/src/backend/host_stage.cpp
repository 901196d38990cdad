#include "backend/host_stage.h"

namespace dg {

std::vector<uint8_t*> HostStage::reserve(const Device& device, const std::vector<size_t>& sizes) {
    constexpr size_t kAlign = 256;
    size_t total            = 0;
    for (const size_t size : sizes) {
        total += (size + kAlign - 1) / kAlign * kAlign;
    }
    ggml_backend_buffer_type_t type = ggml_backend_dev_host_buffer_type(device.dev);
    if (type == nullptr || total == 0 || total > kMost) {
        return {};
    }
    if (buffer_ == nullptr || device_ != device.id || total > bytes_) {
        release();
        buffer_.reset(ggml_backend_buft_alloc_buffer(type, total));
        if (buffer_ == nullptr) {
            return {};
        }
        device_ = device.id;
        bytes_  = total;
    }
    std::vector<uint8_t*> places;
    auto* at = static_cast<uint8_t*>(ggml_backend_buffer_get_base(buffer_.get()));
    for (const size_t size : sizes) {
        places.push_back(at);
        at += (size + kAlign - 1) / kAlign * kAlign;
    }
    return places;
}

void HostStage::release() {
    buffer_.reset();
    bytes_ = 0;
}

}  // namespace dg
