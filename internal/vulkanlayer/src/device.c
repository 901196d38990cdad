// What the layer does in the driver's place. Counters lie in a file that other processes may read at any time.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layer.h"

// The order of type Counts in vulkanlayer.go.
struct counters {
    _Atomic uint64_t now, peak, largest, refused, submits;
};

struct piece {
    VkDeviceMemory memory;
    uint64_t bytes;
};

enum { MOST_PIECES = 1 << 16 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct piece pieces[MOST_PIECES];
static struct counters unseen;
static struct counters* counters = &unseen;

// What the environment asks for; 0: nothing.
static uint64_t lose_after, max_allocation, max_tensor, heap, discrete;

static uint64_t number(const char* name) {
    const char* text = getenv(name);
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

void read_options(void) {
    lose_after       = number("DAGUERRE_LAYER_LOSE_AFTER");
    max_allocation   = number("DAGUERRE_LAYER_MAX_ALLOCATION");
    max_tensor       = number("DAGUERRE_LAYER_MAX_TENSOR");
    heap             = number("DAGUERRE_LAYER_HEAP");
    discrete         = number("DAGUERRE_LAYER_DISCRETE");
    const char* path = getenv("DAGUERRE_LAYER_COUNTS");
    const int file   = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) {
        return;
    }
    if (ftruncate(file, sizeof(struct counters)) == 0) {
        void* at = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        counters = at == MAP_FAILED ? &unseen : at;
        memset((void*)counters, 0, sizeof(struct counters));
    }
    close(file);
}

static void limit(VkPhysicalDeviceLimits* limits) {
    if (max_tensor != 0 && limits->maxStorageBufferRange > max_tensor) {
        limits->maxStorageBufferRange = (uint32_t)max_tensor;
    }
}

void VKAPI_CALL get_properties(VkPhysicalDevice physical, VkPhysicalDeviceProperties* out) {
    instance_of(physical)->properties(physical, out);
    limit(&out->limits);
}

void VKAPI_CALL get_properties2(VkPhysicalDevice physical, VkPhysicalDeviceProperties2* out) {
    instance_of(physical)->properties2(physical, out);
    limit(&out->properties.limits);
    for (VkBaseOutStructure* part = out->pNext; part != NULL && max_allocation != 0; part = part->pNext) {
        switch ((int)part->sType) {
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES:
                ((VkPhysicalDeviceMaintenance3Properties*)part)->maxMemoryAllocationSize = max_allocation;
                break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES:
                ((VkPhysicalDeviceMaintenance4Properties*)part)->maxBufferSize = max_allocation;
                break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES:
                ((VkPhysicalDeviceVulkan11Properties*)part)->maxMemoryAllocationSize = max_allocation;
                break;
        }
    }
}

// The memory of a card with its own: what is on it cannot be mapped, and goes through the host's. Drivers in software have one type.
enum { ON_CARD, ON_HOST };

static void change_memory(VkPhysicalDeviceMemoryProperties* memory) {
    if (discrete != 0) {
        const VkDeviceSize size      = memory->memoryHeaps[0].size;
        memory->memoryTypeCount      = 2;
        memory->memoryHeapCount      = 2;
        memory->memoryHeaps[ON_CARD] = (VkMemoryHeap){size, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
        memory->memoryHeaps[ON_HOST] = (VkMemoryHeap){size, 0};
        memory->memoryTypes[ON_CARD] = (VkMemoryType){VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, ON_CARD};
        memory->memoryTypes[ON_HOST] =
            (VkMemoryType){VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
                               VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                           ON_HOST};
    }
    for (uint32_t i = 0; heap != 0 && i < memory->memoryHeapCount; i++) {
        if ((memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0 &&
            memory->memoryHeaps[i].size > heap) {
            memory->memoryHeaps[i].size = heap;
        }
    }
}

void VKAPI_CALL get_memory(VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties* out) {
    instance_of(physical)->memory(physical, out);
    change_memory(out);
}

void VKAPI_CALL get_memory2(VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties2* out) {
    instance_of(physical)->memory2(physical, out);
    change_memory(&out->memoryProperties);
}

void VKAPI_CALL get_requirements(VkDevice handle, VkBuffer buffer, VkMemoryRequirements* out) {
    device_of(handle)->requirements(handle, buffer, out);
    if (discrete != 0) {
        out->memoryTypeBits = 1 << ON_CARD | 1 << ON_HOST;
    }
}

static int on_device(const struct device* device, uint32_t type) {
    if (discrete != 0) {
        return type == ON_CARD;
    }
    const uint32_t at = device->memory.memoryTypes[type].heapIndex;
    return (device->memory.memoryHeaps[at].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
}

static void raise_to(_Atomic uint64_t* most, uint64_t value) {
    if (value > *most) {
        *most = value;
    }
}

// Only the device's own memory counts.
VkResult VKAPI_CALL allocate_memory(VkDevice handle, const VkMemoryAllocateInfo* info,
                                    const VkAllocationCallbacks* allocator, VkDeviceMemory* out) {
    const int counts           = on_device(device_of(handle), info->memoryTypeIndex);
    const uint64_t bytes       = info->allocationSize;
    VkMemoryAllocateInfo asked = *info;
    asked.memoryTypeIndex      = discrete != 0 ? 0 : info->memoryTypeIndex;
    VkResult result            = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    pthread_mutex_lock(&mutex);
    if ((max_allocation != 0 && bytes > max_allocation) || (counts && heap != 0 && counters->now + bytes > heap)) {
        counters->refused++;
    } else {
        result = device_of(handle)->allocate(handle, &asked, allocator, out);
    }
    for (int i = 0; result == VK_SUCCESS && counts && i < MOST_PIECES; i++) {
        if (pieces[i].bytes == 0) {
            pieces[i] = (struct piece){*out, bytes};
            counters->now += bytes;
            raise_to(&counters->peak, counters->now);
            raise_to(&counters->largest, bytes);
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

void VKAPI_CALL free_memory(VkDevice handle, VkDeviceMemory memory, const VkAllocationCallbacks* allocator) {
    pthread_mutex_lock(&mutex);
    for (int i = 0; memory != VK_NULL_HANDLE && i < MOST_PIECES; i++) {
        if (pieces[i].bytes != 0 && pieces[i].memory == memory) {
            counters->now -= pieces[i].bytes;
            pieces[i].bytes = 0;
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
    device_of(handle)->free(handle, memory, allocator);
}

static int is_lost(void) {
    return lose_after != 0 && counters->submits > lose_after;
}

VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo* submits, VkFence fence) {
    counters->submits++;
    return is_lost() ? VK_ERROR_DEVICE_LOST : device_of(queue)->submit(queue, count, submits, fence);
}

VkResult VKAPI_CALL wait_for_fences(VkDevice handle, uint32_t count, const VkFence* fences, VkBool32 all,
                                    uint64_t timeout) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : device_of(handle)->wait_fences(handle, count, fences, all, timeout);
}

VkResult VKAPI_CALL get_fence_status(VkDevice handle, VkFence fence) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : device_of(handle)->fence_status(handle, fence);
}

VkResult VKAPI_CALL queue_wait_idle(VkQueue queue) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : device_of(queue)->wait_queue(queue);
}

VkResult VKAPI_CALL device_wait_idle(VkDevice handle) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : device_of(handle)->wait_device(handle);
}
