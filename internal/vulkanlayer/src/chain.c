// Puts the layer between the loader and the driver.
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"

enum { MOST_HANDLES = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once   = PTHREAD_ONCE_INIT;
static struct instance instances[MOST_HANDLES];
static struct device devices[MOST_HANDLES];

// The loader's dispatch table is the first word of a handle; queues have their device's, physical devices their instance's.
static void* key_of(const void* handle) {
    return *(void* const*)handle;
}

struct instance* instance_of(const void* handle) {
    for (int i = 0; i < MOST_HANDLES; i++) {
        if (instances[i].handle != NULL && instances[i].key == key_of(handle)) {
            return &instances[i];
        }
    }
    abort();
}

struct device* device_of(const void* handle) {
    for (int i = 0; i < MOST_HANDLES; i++) {
        if (devices[i].handle != NULL && devices[i].key == key_of(handle)) {
            return &devices[i];
        }
    }
    abort();
}

static VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* info, const VkAllocationCallbacks* allocator,
                                           VkInstance* out) {
    pthread_once(&once, read_options);
    VkLayerInstanceCreateInfo* link = (VkLayerInstanceCreateInfo*)info->pNext;
    while (link != NULL &&
           (link->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO)) {
        link = (VkLayerInstanceCreateInfo*)link->pNext;
    }
    if (link == NULL) {
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    const PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo                   = link->u.pLayerInfo->pNext;
    const VkResult result                = ((PFN_vkCreateInstance)next(NULL, "vkCreateInstance"))(info, allocator, out);
    pthread_mutex_lock(&mutex);
    for (int i = 0; result == VK_SUCCESS && i < MOST_HANDLES; i++) {
        if (instances[i].handle == NULL) {
            instances[i] = (struct instance){
                .key         = key_of(*out),
                .handle      = *out,
                .next        = next,
                .destroy     = (PFN_vkDestroyInstance)next(*out, "vkDestroyInstance"),
                .properties  = (PFN_vkGetPhysicalDeviceProperties)next(*out, "vkGetPhysicalDeviceProperties"),
                .properties2 = (PFN_vkGetPhysicalDeviceProperties2)next(*out, "vkGetPhysicalDeviceProperties2"),
                .memory  = (PFN_vkGetPhysicalDeviceMemoryProperties)next(*out, "vkGetPhysicalDeviceMemoryProperties"),
                .memory2 = (PFN_vkGetPhysicalDeviceMemoryProperties2)next(*out, "vkGetPhysicalDeviceMemoryProperties2"),
            };
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

static void VKAPI_CALL destroy_instance(VkInstance handle, const VkAllocationCallbacks* allocator) {
    if (handle == NULL) {
        return;
    }
    struct instance* known = instance_of(handle);
    known->handle          = NULL;
    known->destroy(handle, allocator);
}

static VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* info,
                                         const VkAllocationCallbacks* allocator, VkDevice* out) {
    VkLayerDeviceCreateInfo* link = (VkLayerDeviceCreateInfo*)info->pNext;
    while (link != NULL &&
           (link->sType != VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO)) {
        link = (VkLayerDeviceCreateInfo*)link->pNext;
    }
    if (link == NULL) {
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    const PFN_vkGetInstanceProcAddr next_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    const PFN_vkGetDeviceProcAddr next            = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo                            = link->u.pLayerInfo->pNext;
    const PFN_vkCreateDevice create =
        (PFN_vkCreateDevice)next_instance(instance_of(physical)->handle, "vkCreateDevice");
    const VkResult result = create(physical, info, allocator, out);
    pthread_mutex_lock(&mutex);
    for (int i = 0; result == VK_SUCCESS && i < MOST_HANDLES; i++) {
        if (devices[i].handle == NULL) {
            devices[i] = (struct device){
                .key          = key_of(*out),
                .handle       = *out,
                .next         = next,
                .destroy      = (PFN_vkDestroyDevice)next(*out, "vkDestroyDevice"),
                .requirements = (PFN_vkGetBufferMemoryRequirements)next(*out, "vkGetBufferMemoryRequirements"),
                .allocate     = (PFN_vkAllocateMemory)next(*out, "vkAllocateMemory"),
                .free         = (PFN_vkFreeMemory)next(*out, "vkFreeMemory"),
                .submit       = (PFN_vkQueueSubmit)next(*out, "vkQueueSubmit"),
                .wait_queue   = (PFN_vkQueueWaitIdle)next(*out, "vkQueueWaitIdle"),
                .wait_device  = (PFN_vkDeviceWaitIdle)next(*out, "vkDeviceWaitIdle"),
                .wait_fences  = (PFN_vkWaitForFences)next(*out, "vkWaitForFences"),
                .fence_status = (PFN_vkGetFenceStatus)next(*out, "vkGetFenceStatus"),
            };
            instance_of(physical)->memory(physical, &devices[i].memory);
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

static void VKAPI_CALL destroy_device(VkDevice handle, const VkAllocationCallbacks* allocator) {
    if (handle == NULL) {
        return;
    }
    struct device* known = device_of(handle);
    known->handle        = NULL;
    known->destroy(handle, allocator);
}

static PFN_vkVoidFunction VKAPI_CALL get_instance_function(VkInstance instance, const char* name);
static PFN_vkVoidFunction VKAPI_CALL get_device_function(VkDevice device, const char* name);

struct function {
    const char* name;
    PFN_vkVoidFunction call;
    int of_device;
};

#define FUNCTION(name, call, of_device) {name, (PFN_vkVoidFunction)(call), of_device}

static const struct function functions[] = {
    FUNCTION("vkGetInstanceProcAddr", get_instance_function, 0),
    FUNCTION("vkCreateInstance", create_instance, 0),
    FUNCTION("vkDestroyInstance", destroy_instance, 0),
    FUNCTION("vkCreateDevice", create_device, 0),
    FUNCTION("vkGetPhysicalDeviceProperties", get_properties, 0),
    FUNCTION("vkGetPhysicalDeviceProperties2", get_properties2, 0),
    FUNCTION("vkGetPhysicalDeviceProperties2KHR", get_properties2, 0),
    FUNCTION("vkGetPhysicalDeviceMemoryProperties", get_memory, 0),
    FUNCTION("vkGetPhysicalDeviceMemoryProperties2", get_memory2, 0),
    FUNCTION("vkGetPhysicalDeviceMemoryProperties2KHR", get_memory2, 0),
    FUNCTION("vkGetDeviceProcAddr", get_device_function, 1),
    FUNCTION("vkDestroyDevice", destroy_device, 1),
    FUNCTION("vkGetBufferMemoryRequirements", get_requirements, 1),
    FUNCTION("vkAllocateMemory", allocate_memory, 1),
    FUNCTION("vkFreeMemory", free_memory, 1),
    FUNCTION("vkQueueSubmit", queue_submit, 1),
    FUNCTION("vkQueueWaitIdle", queue_wait_idle, 1),
    FUNCTION("vkDeviceWaitIdle", device_wait_idle, 1),
    FUNCTION("vkWaitForFences", wait_for_fences, 1),
    FUNCTION("vkGetFenceStatus", get_fence_status, 1),
};

static PFN_vkVoidFunction ours(const char* name, int of_device) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if ((!of_device || functions[i].of_device) && strcmp(functions[i].name, name) == 0) {
            return functions[i].call;
        }
    }
    return NULL;
}

static PFN_vkVoidFunction VKAPI_CALL get_instance_function(VkInstance instance, const char* name) {
    const PFN_vkVoidFunction call = ours(name, 0);
    return call != NULL || instance == NULL ? call : instance_of(instance)->next(instance, name);
}

static PFN_vkVoidFunction VKAPI_CALL get_device_function(VkDevice device, const char* name) {
    const PFN_vkVoidFunction call = ours(name, 1);
    return call != NULL ? call : device_of(device)->next(device, name);
}

VK_LAYER_EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface* asked) {
    asked->loaderLayerInterfaceVersion  = 2;
    asked->pfnGetInstanceProcAddr       = get_instance_function;
    asked->pfnGetDeviceProcAddr         = get_device_function;
    asked->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
