// Devices that failed while they computed. A driver gives a process nothing more on a lost device, so what follows is refused.
#pragma once

#include <exception>
#include <string>

#include "backend/device.h"

namespace dg {

// Counts a graph that is about to run. A test can lose a device so: DAGUERRE_LOSE_DEVICE="vulkan:0,3" lets three graphs of the
// process run on the device, and loses it in the next.
void count_graph(const Device& device);

// Fails with DG_ERR_DEVICE if the device is lost.
void refuse_lost(const Device& device, const std::string& what);

// Fails with DG_ERR_DEVICE, and marks the device, if an exception of the engine means that it is lost.
void note_loss(const Device& device, const std::string& what, const std::exception& e);

// Does something on a device, such as copies. If the device is lost in it, or was before, this fails with DG_ERR_DEVICE.
template <typename Work>
void on_device(const Device& device, const std::string& what, const Work& work) {
    refuse_lost(device, what);
    try {
        work();
    } catch (const std::exception& e) {
        note_loss(device, what, e);
        throw;
    }
}

}  // namespace dg
