// Devices that failed while they computed. A driver gives a process nothing more on a lost device, so what follows is refused.
#pragma once

#include <exception>
#include <string>

#include "backend/device.h"

namespace dg {

// Fails with DG_ERR_DEVICE if the device is lost. A test can lose one: DAGUERRE_LOSE_DEVICE="vulkan:0,3" lets three graphs of the
// process run on the device, and loses it in the next.
void check_lost(const Device& device, const std::string& what);

// Fails with DG_ERR_DEVICE, and marks the device, if an exception of the engine means that it is lost.
void note_loss(const Device& device, const std::string& what, const std::exception& e);

}  // namespace dg
