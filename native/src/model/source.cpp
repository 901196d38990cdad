#include "model/source.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "model/types.h"
#include "model_io/gguf_io.h"
#include "model_io/safetensors_io.h"
#include "model_io/torch_legacy_io.h"
#include "model_io/torch_zip_io.h"
#include "zip.h"

namespace dg {

namespace {

bool is_folder(const std::string& path) {
    struct stat info;
    return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool exists(const std::string& path) {
    struct stat info;
    return stat(path.c_str(), &info) == 0;
}

std::vector<TensorStorage> read_headers(const std::string& path, bool* is_zip) {
    *is_zip = false;
    std::ifstream probe(path, std::ios::binary);
    if (!probe.is_open()) {
        fail(DG_ERR_FILE, "%s: cannot be opened: %s", path.c_str(), std::strerror(errno));
    }
    probe.close();
    std::vector<TensorStorage> tensors;
    std::string error;
    bool ok = false;
    if (is_gguf_file(path)) {
        ok = read_gguf_file(path, tensors, &error);
    } else if (is_safetensors_file(path)) {
        ok = read_safetensors_file(path, tensors, &error);
    } else if (is_torch_zip_file(path)) {
        *is_zip = true;
        ok      = read_torch_zip_file(path, tensors, &error);
    } else {
        ok = read_torch_legacy_file(path, tensors, &error);
    }
    if (!ok) {
        fail(DG_ERR_FORMAT, "%s: not a readable safetensors, GGUF or PyTorch file%s%s", path.c_str(),
             error.empty() ? "" : ": ", error.c_str());
    }
    return tensors;
}

// The first of several spellings of a component's file in a diffusers folder, or "".
std::string component_file(const std::string& folder, const std::string& component,
                           std::initializer_list<const char*> names) {
    for (const char* name : names) {
        const std::string path = folder + "/" + component + "/" + name;
        if (exists(path)) {
            return path;
        }
    }
    return "";
}

// The other spellings, from all weight files of the component's folder: the shards of a component too large for one file
// ("NAME-00001-of-00002.safetensors" and so on, of the shortest NAME: variants have longer ones), or else the only
// file of a variant ("NAME.bf16.safetensors").
std::vector<std::string> other_component_files(const std::string& folder, const std::string& component) {
    std::map<std::pair<size_t, std::string>, std::vector<std::string>> shards;  // by length of stem, stem
    std::vector<std::string> variants;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder + "/" + component, error)) {
        const std::string name      = entry.path().filename().string();
        const std::string extension = entry.path().extension().string();
        if (extension != ".safetensors" && extension != ".bin") {
            continue;
        }
        const size_t of = name.rfind("-of-");
        if (of != std::string::npos && of >= 6) {  // "-00001" before it
            const std::string stem = name.substr(0, of - 6) + extension;
            shards[{stem.size(), stem}].push_back(entry.path().string());
        } else if (name.find("model") != std::string::npos) {
            variants.push_back(entry.path().string());
        }
    }
    if (!shards.empty()) {
        std::sort(shards.begin()->second.begin(), shards.begin()->second.end());
        return shards.begin()->second;
    }
    if (variants.size() > 1) {
        std::sort(variants.begin(), variants.end());
        fail(DG_ERR_FILE,
             "%s/%s: holds %zu variants and no plain file; leave one, or name the file of the component: %s",
             folder.c_str(), component.c_str(), variants.size(), variants[0].c_str());
    }
    return variants;
}

int64_t file_size(const std::string& path) {
    struct stat info;
    return stat(path.c_str(), &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

// A part of a fused tensor is a run of rows: the slowest dimension divided.
void apply_mapping(SourceTensor& tensor, const std::string& path) {
    const TensorStorage& s = tensor.storage;
    int dims               = 1;
    for (int i = 0; i < SD_MAX_DIMS; i++) {
        if (s.ne[i] <= 0) {
            fail(DG_ERR_FORMAT, "%s: tensor '%s' has a dimension of %lld", path.c_str(), s.name.c_str(),
                 static_cast<long long>(s.ne[i]));
        }
        if (s.ne[i] > 1) {
            dims = i + 1;
        }
    }
    if (dims > 4) {
        fail(DG_ERR_MODEL, "%s: tensor '%s' has %d dimensions", path.c_str(), s.name.c_str(), dims);
    }
    std::copy(s.ne, s.ne + 4, tensor.ne);
    if (tensor.mapping.parts > 1) {
        const int last = dims - 1;
        if (tensor.ne[last] % tensor.mapping.parts != 0) {
            fail(DG_ERR_MODEL, "%s: tensor '%s': %lld rows cannot be divided by %d", path.c_str(), s.name.c_str(),
                 static_cast<long long>(tensor.ne[last]), tensor.mapping.parts);
        }
        tensor.ne[last] /= tensor.mapping.parts;
    }
    if (tensor.mapping.transpose) {
        std::swap(tensor.ne[0], tensor.ne[1]);
    }
}

}  // namespace

void Source::add(const std::string& path, int32_t role) {
    if (role != DG_ROLE_MODEL) {
        remove_component(role);
    }
    if (is_folder(path)) {
        if (role != DG_ROLE_MODEL) {
            fail(DG_ERR_FILE, "%s: is a folder; name the weights file in it", path.c_str());
        }
        add_folder(path);
    } else {
        add_file(path, role);
    }
    if (role != DG_ROLE_MODEL && !has_prefix(component_prefix(role))) {
        fail(DG_ERR_MODEL, "%s: holds no tensor of the component it was given for (%.*s)", path.c_str(),
             static_cast<int>(std::strlen(component_prefix(role)) - 1), component_prefix(role));
    }
}

void Source::add_folder(const std::string& folder) {
    struct Part {
        const char* name;
        int32_t role;
    };
    bool found = false;
    for (const Part& part :
         {Part{"unet", DG_ROLE_UNET}, Part{"vae", DG_ROLE_VAE}, Part{"text_encoder", DG_ROLE_TEXT_ENCODER},
          Part{"text_encoder_2", DG_ROLE_TEXT_ENCODER_2}}) {
        const std::string path = component_file(
            folder, part.name,
            {"diffusion_pytorch_model.safetensors", "model.safetensors", "diffusion_pytorch_model.fp16.safetensors",
             "model.fp16.safetensors", "diffusion_pytorch_model.bin", "pytorch_model.bin"});
        const std::vector<std::string> paths =
            path.empty() ? other_component_files(folder, part.name) : std::vector<std::string>{path};
        for (const std::string& file : paths) {
            add_file(file, part.role);
            found = true;
        }
    }
    if (!found) {
        fail(DG_ERR_FILE,
             "%s: is not a diffusers folder: no unet/diffusion_pytorch_model.safetensors or other component in it",
             folder.c_str());
    }
}

void Source::remove_component(int32_t role) {
    const std::string prefix = component_prefix(role);
    for (auto it = tensors_.lower_bound(prefix);
         it != tensors_.end() && it->first.compare(0, prefix.size(), prefix) == 0;) {
        it = tensors_.erase(it);
    }
}

void Source::add_file(const std::string& path, int32_t role) {
    bool is_zip                        = false;
    std::vector<TensorStorage> headers = read_headers(path, &is_zip);
    if (headers.empty()) {
        fail(DG_ERR_FORMAT, "%s: holds no tensors", path.c_str());
    }
    const int64_t size = file_size(path);
    const size_t index = files_.size();
    files_.push_back({path, is_zip});
    std::vector<std::string> names;
    names.reserve(headers.size());
    for (const TensorStorage& header : headers) {
        names.push_back(header.name);
    }
    Layout layout;
    const auto mappings                                           = map_names(names, role, &layout);
    (layout == Layout::Original ? saw_original_ : saw_diffusers_) = true;
    for (size_t i = 0; i < headers.size(); i++) {
        if (mappings[i].empty()) {
            (is_known_extra(names[i]) ? markers_ : unmapped_).push_back(names[i]);
        }
        for (const NameMapping& mapping : mappings[i]) {
            const std::string wanted = component_prefix(role);
            if (mapping.canonical.compare(0, wanted.size(), wanted) != 0) {
                continue;  // a whole checkpoint given for one component: the rest of it is not used
            }
            SourceTensor tensor;
            tensor.storage = headers[i];
            tensor.file    = index;
            tensor.mapping = mapping;
            apply_mapping(tensor, path);
            const uint64_t bytes = static_cast<uint64_t>(tensor.storage.nbytes_to_read());
            if (!is_zip && (tensor.storage.offset > static_cast<uint64_t>(size) ||
                            bytes > static_cast<uint64_t>(size) - tensor.storage.offset)) {
                fail(DG_ERR_FORMAT, "%s: tensor '%s' ends at byte %llu of a file of %lld: the file is truncated",
                     path.c_str(), names[i].c_str(), static_cast<unsigned long long>(tensor.storage.offset + bytes),
                     static_cast<long long>(size));
            }
            tensors_[mapping.canonical] = std::move(tensor);
        }
    }
}

const SourceTensor* Source::find(const std::string& name) const {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : &it->second;
}

bool Source::has_prefix(const std::string& prefix) const {
    const auto it = tensors_.lower_bound(prefix);
    return it != tensors_.end() && it->first.compare(0, prefix.size(), prefix) == 0;
}

bool Source::has_marker(const std::string& name) const {
    return std::find(markers_.begin(), markers_.end(), name) != markers_.end();
}

int32_t Source::layout() const {
    return saw_original_ && saw_diffusers_ ? 2 : (saw_diffusers_ ? 1 : 0);
}

const std::string& Source::path_of(const std::string& name) const {
    if (const SourceTensor* tensor = find(name)) {
        return files_[tensor->file].path;
    }
    const std::string component = name.substr(0, name.find('.') + 1);
    const auto sibling          = tensors_.lower_bound(component);
    if (sibling != tensors_.end() && sibling->first.compare(0, component.size(), component) == 0) {
        return files_[sibling->second.file].path;
    }
    static const std::string none;
    return files_.empty() ? none : files_[0].path;
}

struct SourceReader::Open {
    int file   = -1;
    zip_t* zip = nullptr;

    ~Open() {
        if (file >= 0) {
            ::close(file);
        }
        if (zip != nullptr) {
            zip_close(zip);
        }
    }
};

SourceReader::SourceReader(const Source& source) : source_(source), open_(source.files().size()) {}

SourceReader::~SourceReader() = default;

SourceReader::Open& SourceReader::open(size_t index) {
    std::unique_ptr<Open>& slot = open_[index];
    if (slot == nullptr) {
        const SourceFile& file = source_.files()[index];
        slot                   = std::make_unique<Open>();
        if (file.is_zip) {
            slot->zip = zip_open(file.path.c_str(), 0, 'r');
        } else {
            slot->file = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
        }
        if (file.is_zip ? slot->zip == nullptr : slot->file < 0) {
            const int code = errno;
            slot.reset();
            fail(DG_ERR_FILE, "%s: cannot be opened: %s", file.path.c_str(), std::strerror(code));
        }
    }
    return *slot;
}

bool SourceReader::is_plain(const Source& source, const SourceTensor& tensor) {
    const TensorStorage& s = tensor.storage;
    const bool transposed  = tensor.mapping.transpose && tensor.ne[1] > 1 && tensor.ne[0] > 1;
    return !source.files()[tensor.file].is_zip && !s.is_f64 && !s.is_f8_e4m3 && !s.is_f8_e5m2 && !transposed;
}

size_t SourceReader::data_offset(const SourceTensor& tensor) {
    const size_t parts = static_cast<size_t>(tensor.mapping.parts), part = static_cast<size_t>(tensor.mapping.part);
    return static_cast<size_t>(tensor.storage.offset) +
           static_cast<size_t>(tensor.storage.nbytes_to_read()) / parts * part;
}

void SourceReader::read_at(const SourceTensor& tensor, size_t offset, size_t bytes, void* to) {
    const Open& in     = open(tensor.file);
    const size_t start = data_offset(tensor) + offset;
    for (size_t done = 0; done < bytes;) {
        const ssize_t got =
            ::pread(in.file, static_cast<uint8_t*>(to) + done, bytes - done, static_cast<off_t>(start + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            fail(DG_ERR_FILE, "%s: tensor '%s': reading %zu bytes at %zu failed: %s",
                 source_.files()[tensor.file].path.c_str(), tensor.storage.name.c_str(), bytes, start,
                 got == 0 ? "the file ends before" : std::strerror(errno));
        }
        done += static_cast<size_t>(got);
    }
}

const void* SourceReader::read(const SourceTensor& tensor, ggml_type* type) {
    const TensorStorage& s  = tensor.storage;
    const SourceFile& file  = source_.files()[tensor.file];
    Open& in                = open(tensor.file);
    const size_t whole      = static_cast<size_t>(s.nbytes_to_read());
    const size_t bytes      = whole / static_cast<size_t>(tensor.mapping.parts);
    const size_t part_start = bytes * static_cast<size_t>(tensor.mapping.part);
    const int64_t n         = tensor.elements();
    const uint8_t* data     = nullptr;
    if (in.zip != nullptr) {
        if (zip_entry_openbyindex(in.zip, static_cast<size_t>(s.index_in_zip)) != 0) {
            fail(DG_ERR_FORMAT, "%s: tensor '%s': its record cannot be opened", file.path.c_str(), s.name.c_str());
        }
        const size_t entry = static_cast<size_t>(zip_entry_size(in.zip));
        if (s.offset > entry || whole > entry - s.offset) {
            zip_entry_close(in.zip);
            fail(DG_ERR_FORMAT, "%s: tensor '%s' needs %zu bytes at %llu of a record of %zu", file.path.c_str(),
                 s.name.c_str(), whole, static_cast<unsigned long long>(s.offset), entry);
        }
        raw_.resize(entry);
        const ssize_t got = static_cast<ssize_t>(zip_entry_noallocread(in.zip, raw_.data(), entry));
        zip_entry_close(in.zip);
        if (got < 0 || static_cast<size_t>(got) != entry) {
            fail(DG_ERR_FORMAT, "%s: tensor '%s': its record is damaged", file.path.c_str(), s.name.c_str());
        }
        data = raw_.data() + s.offset + part_start;
    } else {
        raw_.resize(bytes);
        read_at(tensor, 0, bytes, raw_.data());
        data = raw_.data();
    }

    *type = s.type;
    if (s.is_f64 || s.is_f8_e4m3 || s.is_f8_e5m2) {
        converted_.resize(static_cast<size_t>(n) * sizeof(float));
        float* out = reinterpret_cast<float*>(converted_.data());
        for (int64_t i = 0; i < n; i++) {
            if (s.is_f64) {
                double value;
                std::memcpy(&value, data + i * 8, 8);
                out[i] = static_cast<float>(value);
            } else {
                const uint8_t v       = data[i];
                const int mantissa    = s.is_f8_e4m3 ? 3 : 2;
                const int bias        = s.is_f8_e4m3 ? 7 : 15;
                const int exponent    = (v & 0x7f) >> mantissa;
                const int fraction    = v & ((1 << mantissa) - 1);
                const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), 1 - bias - mantissa)
                                                      : std::ldexp(static_cast<float>((1 << mantissa) + fraction),
                                                                   exponent - bias - mantissa);
                out[i]                = (v & 0x80) != 0 ? -magnitude : magnitude;
            }
        }
        *type = GGML_TYPE_F32;
        data  = converted_.data();
    }
    if (tensor.mapping.transpose && tensor.ne[1] > 1 && tensor.ne[0] > 1) {
        const int64_t rows = tensor.ne[0], columns = tensor.ne[1];  // of the source, as ne is the result's
        std::vector<uint8_t> source(static_cast<size_t>(n) * sizeof(float));
        convert_rows(data, *type, source.data(), GGML_TYPE_F32, rows, columns);
        converted_.resize(source.size());
        const float* from = reinterpret_cast<const float*>(source.data());
        float* to         = reinterpret_cast<float*>(converted_.data());
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < columns; c++) {
                to[c * rows + r] = from[r * columns + c];
            }
        }
        *type = GGML_TYPE_F32;
        data  = converted_.data();
    }
    return data;
}

}  // namespace dg
