// Host memory that a device reads and writes directly. A graph's inputs and outputs pass through it, so that their copies are queued
// and nobody waits for each of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "backend/device.h"

namespace dg {

class HostStage {
public:
    // Makes room for pieces of the given sizes. Returns where each is, or nothing where the device has no such memory or the sum
    // is above kMost: then the copies go straight.
    std::vector<uint8_t*> reserve(const Device& device, const std::vector<size_t>& sizes);
    size_t bytes() const { return bytes_; }
    void release();

    static constexpr size_t kMost = size_t{64} << 20;

private:
    std::string device_;
    BufferPtr buffer_;
    size_t bytes_ = 0;
};

}  // namespace dg
