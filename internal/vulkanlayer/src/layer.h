// A Vulkan layer between ggml and a driver, which counts what a process takes of a device's memory, and can play another device. What
// the variables of the environment ask for is told in vulkanlayer.go.
#pragma once

#include <vulkan/vk_layer.h>
#include <vulkan/vulkan_core.h>

// The next layer's functions, or the driver's. They are asked for while a handle is created: later the loader answers with the first
// layer's, which is this one.
struct instance {
    void* key;
    VkInstance handle;
    PFN_vkGetInstanceProcAddr next;
    PFN_vkDestroyInstance destroy;
    PFN_vkGetPhysicalDeviceProperties properties;
    PFN_vkGetPhysicalDeviceProperties2 properties2;
    PFN_vkGetPhysicalDeviceMemoryProperties memory;
    PFN_vkGetPhysicalDeviceMemoryProperties2 memory2;
};

struct device {
    void* key;
    VkDevice handle;
    PFN_vkGetDeviceProcAddr next;
    PFN_vkDestroyDevice destroy;
    PFN_vkGetBufferMemoryRequirements requirements;
    PFN_vkAllocateMemory allocate;
    PFN_vkFreeMemory free;
    PFN_vkQueueSubmit submit;
    PFN_vkQueueWaitIdle wait_queue;
    PFN_vkDeviceWaitIdle wait_device;
    PFN_vkWaitForFences wait_fences;
    PFN_vkGetFenceStatus fence_status;
    VkPhysicalDeviceMemoryProperties memory;
};

// The instance or device that a handle belongs to.
struct instance* instance_of(const void* handle);
struct device* device_of(const void* handle);

// Reads the environment, once.
void read_options(void);

// What the layer does in the driver's place (device.c).
VKAPI_ATTR void VKAPI_CALL get_properties(VkPhysicalDevice physical, VkPhysicalDeviceProperties* out);
VKAPI_ATTR void VKAPI_CALL get_properties2(VkPhysicalDevice physical, VkPhysicalDeviceProperties2* out);
VKAPI_ATTR void VKAPI_CALL get_memory(VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties* out);
VKAPI_ATTR void VKAPI_CALL get_memory2(VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties2* out);
VKAPI_ATTR void VKAPI_CALL get_requirements(VkDevice handle, VkBuffer buffer, VkMemoryRequirements* out);
VKAPI_ATTR VkResult VKAPI_CALL allocate_memory(VkDevice handle, const VkMemoryAllocateInfo* info,
                                               const VkAllocationCallbacks* allocator, VkDeviceMemory* out);
VKAPI_ATTR void VKAPI_CALL free_memory(VkDevice handle, VkDeviceMemory memory, const VkAllocationCallbacks* allocator);
VKAPI_ATTR VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo* submits, VkFence fence);
VKAPI_ATTR VkResult VKAPI_CALL queue_wait_idle(VkQueue queue);
VKAPI_ATTR VkResult VKAPI_CALL device_wait_idle(VkDevice handle);
VKAPI_ATTR VkResult VKAPI_CALL wait_for_fences(VkDevice handle, uint32_t count, const VkFence* fences, VkBool32 all,
                                               uint64_t timeout);
VKAPI_ATTR VkResult VKAPI_CALL get_fence_status(VkDevice handle, VkFence fence);
