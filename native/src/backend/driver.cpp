#include "backend/driver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

#if defined(GGML_USE_VULKAN)
#include <vulkan/vulkan_core.h>
#elif defined(GGML_USE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace dg {

#if defined(GGML_USE_VULKAN)

namespace {

struct Instance {
    VkInstance handle = VK_NULL_HANDLE;

    Instance() {
        VkApplicationInfo app{};
        app.sType      = VK_STRUCTURE_TYPE_APPLICATION_INFO;
        app.apiVersion = VK_API_VERSION_1_2;
        VkInstanceCreateInfo info{};
        info.sType            = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
        info.pApplicationInfo = &app;
        if (vkCreateInstance(&info, nullptr, &handle) != VK_SUCCESS) {
            handle = VK_NULL_HANDLE;
        }
    }
    Instance(const Instance&)            = delete;
    Instance& operator=(const Instance&) = delete;
    ~Instance() {
        if (handle != VK_NULL_HANDLE) {
            vkDestroyInstance(handle, nullptr);
        }
    }
};

// A limit that ggml lets the environment lower, as tests do.
int64_t limit_of(const char* variable, uint64_t found) {
    const char* forced   = std::getenv(variable);
    const uint64_t value = forced != nullptr ? std::strtoull(forced, nullptr, 10) : found;
    return value > INT64_MAX ? 0 : static_cast<int64_t>(value);
}

DriverInfo describe(VkPhysicalDevice device, const VkPhysicalDeviceProperties& known) {
    VkPhysicalDeviceMaintenance3Properties memory{};
    memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
    VkPhysicalDeviceDriverProperties driver{};
    driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
    driver.pNext = &memory;
    VkPhysicalDeviceProperties2 all{};
    all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    all.pNext = &driver;
    if (known.apiVersion >= VK_API_VERSION_1_2) {
        vkGetPhysicalDeviceProperties2(device, &all);
    }
    DriverInfo info;
    char text[2 * VK_MAX_DRIVER_INFO_SIZE + 32];
    std::snprintf(text, sizeof(text), "%s %s (%u.%u.%u)", driver.driverName, driver.driverInfo,
                  VK_VERSION_MAJOR(known.driverVersion), VK_VERSION_MINOR(known.driverVersion),
                  VK_VERSION_PATCH(known.driverVersion));
    info.name             = text;
    info.max_buffer_bytes = limit_of("GGML_VK_FORCE_MAX_ALLOCATION_SIZE", memory.maxMemoryAllocationSize);
    const int64_t buffer  = limit_of("GGML_VK_FORCE_MAX_BUFFER_SIZE", static_cast<uint64_t>(info.max_buffer_bytes));
    info.max_tensor_bytes = known.limits.maxStorageBufferRange;
    if (buffer > 0) {
        info.max_tensor_bytes = std::min(info.max_tensor_bytes, buffer);
    }
    return info;
}

}  // namespace

// ggml tells the name. Devices of one name have one driver.
DriverInfo driver_of(ggml_backend_dev_t dev) {
    const Instance instance;
    uint32_t count = 0;
    if (instance.handle == VK_NULL_HANDLE ||
        vkEnumeratePhysicalDevices(instance.handle, &count, nullptr) != VK_SUCCESS) {
        return {};
    }
    std::vector<VkPhysicalDevice> devices(count);
    if (vkEnumeratePhysicalDevices(instance.handle, &count, devices.data()) < 0) {
        return {};
    }
    devices.resize(count);
    for (const VkPhysicalDevice device : devices) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(device, &properties);
        if (std::strcmp(properties.deviceName, ggml_backend_dev_description(dev)) == 0) {
            return describe(device, properties);
        }
    }
    return {};
}

#elif defined(GGML_USE_CUDA)

// NVIDIA's kernel module tells the driver's version where the system has it as a file; CUDA tells which of its own versions the
// driver is for.
DriverInfo driver_of(ggml_backend_dev_t) {
    DriverInfo info;
    int version = 0;
    if (cudaDriverGetVersion(&version) == cudaSuccess && version > 0) {
        info.name = "CUDA " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
    }
    std::ifstream file("/proc/driver/nvidia/version");
    std::string line;
    if (std::getline(file, line)) {
        info.name += ", " + line;
    }
    return info;
}

#else

DriverInfo driver_of(ggml_backend_dev_t) {
    return {};
}

#endif

}  // namespace dg
