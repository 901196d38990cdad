// How weights are read from where the table says they are.

#include "model/source.h"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "check.h"
#include "daguerre.h"
#include "model/types.h"

namespace fs = std::filesystem;

namespace {

// A file of these bytes, and a table of weights in it.
struct File {
    fs::path path;
    std::vector<dg_weight> weights;

    explicit File(const std::vector<uint8_t>& data) {
        std::string pattern = (fs::temp_directory_path() / "daguerre-source-XXXXXX").string();
        path                = fs::path(mkdtemp(pattern.data())) / "weights";
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
    }
    ~File() { fs::remove_all(path.parent_path()); }

    dg_weight& add(const char* name, int32_t type, int64_t offset, int64_t bytes, const std::vector<int64_t>& shape) {
        dg_weight w;
        std::memset(&w, 0, sizeof(w));
        w.struct_size = sizeof(w);
        w.name        = name;
        w.type        = type;
        w.offset      = offset;
        w.bytes       = bytes;
        w.dims        = static_cast<int32_t>(shape.size());
        std::copy(shape.begin(), shape.end(), w.shape);
        weights.push_back(w);
        return weights.back();
    }
    dg::Source source() const { return dg::Source({{path.string()}}, weights); }
};

template <typename T>
std::vector<uint8_t> bytes_of(const std::vector<T>& values) {
    std::vector<uint8_t> out(values.size() * sizeof(T));
    std::memcpy(out.data(), values.data(), out.size());
    return out;
}

// A weight's values as F32.
std::vector<float> values_of(const dg::Source& source, const std::string& name) {
    const dg::SourceTensor* tensor = source.find(name);
    REQUIRE(tensor != nullptr);
    dg::SourceReader reader(source);
    ggml_type type;
    const void* data = reader.read(*tensor, &type);
    std::vector<float> out(static_cast<size_t>(tensor->elements()));
    dg::convert_rows(data, type, out.data(), GGML_TYPE_F32, tensor->elements() / tensor->ne[0], tensor->ne[0]);
    return out;
}

using Floats = std::vector<float>;

}  // namespace

CASE("a weight is a part of a file") {
    File f(bytes_of(Floats{1, 2, 3, 4, 5, 6, 7, 8}));
    f.add("unet.a", GGML_TYPE_F32, 4, 16, {2, 2});
    f.add("unet.b", GGML_TYPE_F32, 28, 4, {});
    const dg::Source source = f.source();
    CHECK(values_of(source, "unet.a") == (Floats{2, 3, 4, 5}));
    CHECK(values_of(source, "unet.b") == Floats{8});
    CHECK(source.find("unet.a")->plain());
    CHECK_EQ(source.find("unet.a")->ne[0], int64_t{2});
    CHECK(source.find("unet.c") == nullptr);
    CHECK(source.has_prefix("unet.") && !source.has_prefix("vae."));
    CHECK_EQ(source.path_of("unet.c"), f.path.string());  // missing: where it would belong
}

CASE("a transpose and other orders are gathered") {
    File f(bytes_of(Floats{1, 2, 3, 4, 5, 6, 7, 8}));
    dg_weight& t = f.add("t", GGML_TYPE_F32, 0, 24, {3, 2});  // the file has [2, 3]
    t.strided = 1, t.strides[0] = 1, t.strides[1] = 3;
    dg_weight& row  = f.add("row", GGML_TYPE_F32, 0, 4, {3});  // one value three times
    row.strided     = 1;
    dg_weight& cube = f.add("cube", GGML_TYPE_F32, 0, 32, {1, 2, 2, 2});
    cube.strided = 1, cube.strides[0] = 8, cube.strides[1] = 1, cube.strides[2] = 2, cube.strides[3] = 4;
    const dg::Source source = f.source();
    CHECK(values_of(source, "t") == (Floats{1, 4, 2, 5, 3, 6}));
    CHECK(values_of(source, "row") == (Floats{1, 1, 1}));
    CHECK(values_of(source, "cube") == (Floats{1, 5, 3, 7, 2, 6, 4, 8}));
    CHECK(!source.find("t")->plain());
}

CASE("types that ggml has not") {
    std::vector<uint8_t> data = bytes_of(std::vector<double>{0.5, -3});
    data.insert(data.end(), {0x38, 0xc0, 0x01, 0x3c, 0xc0, 0x01});  // 1, -2, 2^-9; 1, -2, 2^-16
    File f(data);
    f.add("f64", GGML_TYPE_F64, 0, 16, {2});
    f.add("e4m3", DG_STORED_F8_E4M3, 16, 3, {3});
    f.add("e5m2", DG_STORED_F8_E5M2, 19, 3, {3});
    const dg::Source source = f.source();
    CHECK(values_of(source, "f64") == (Floats{0.5f, -3}));
    CHECK(values_of(source, "e4m3") == (Floats{1, -2, 0.001953125f}));
    CHECK(values_of(source, "e5m2") == (Floats{1, -2, 0.0000152587890625f}));
    CHECK(!source.find("f64")->plain() && !source.find("e4m3")->plain());
}

CASE("FP8 has scales and numbers that are none") {
    File f({0x38, 0xc0, 0x38, 0x40, 0x7f, 0xff, 0x7c, 0x7e, 0x78});  // 1, -2, 1, 2, then what is no number
    const float one[] = {0.5f}, rows[] = {3, 0.25f};
    dg_weight& all = f.add("all", DG_STORED_F8_E4M3, 0, 4, {2, 2});
    all.scale = one, all.scale_count = 1;
    dg_weight& each = f.add("each", DG_STORED_F8_E4M3, 0, 4, {2, 2});
    each.scale = rows, each.scale_count = 2;
    dg_weight& turned = f.add("turned", DG_STORED_F8_E4M3, 0, 4, {2, 2});
    turned.strided = 1, turned.strides[0] = 1, turned.strides[1] = 2, turned.scale = rows, turned.scale_count = 2;
    f.add("nan", DG_STORED_F8_E4M3, 3, 2, {2});
    f.add("minus nan", DG_STORED_F8_E4M3, 5, 1, {1});
    f.add("infinity", DG_STORED_F8_E5M2, 6, 1, {1});
    f.add("nan of e5m2", DG_STORED_F8_E5M2, 7, 1, {1});
    f.add("256", DG_STORED_F8_E4M3, 8, 1, {1});
    const dg::Source source = f.source();
    CHECK(values_of(source, "all") == (Floats{0.5f, -1, 0.5f, 1}));
    CHECK(values_of(source, "each") == (Floats{3, -6, 0.25f, 0.5f}));
    CHECK(values_of(source, "turned") == (Floats{3, 3, -0.5f, 0.5f}));
    CHECK(values_of(source, "256") == Floats{256});
    for (const char* name : {"nan", "minus nan", "infinity", "nan of e5m2"}) {
        try {
            values_of(source, name);
            CHECK(false);
        } catch (const dg::Error& e) {
            CHECK_EQ(e.status(), DG_ERR_FORMAT);
            CHECK(std::string(e.what()).find(name) != std::string::npos);
        }
    }
}

CASE("the transpose of quantized rows") {
    Floats plain(64);
    for (size_t i = 0; i < plain.size(); i++) {
        plain[i] = static_cast<float>(i < 32 ? i : 2 * i);
    }
    std::vector<uint8_t> data(ggml_row_size(GGML_TYPE_Q8_0, 64));
    dg::convert_rows(plain.data(), GGML_TYPE_F32, data.data(), GGML_TYPE_Q8_0, 2, 32);
    Floats stored(64);
    dg::convert_rows(data.data(), GGML_TYPE_Q8_0, stored.data(), GGML_TYPE_F32, 2, 32);
    File f(data);
    dg_weight& t = f.add("t", GGML_TYPE_Q8_0, 0, static_cast<int64_t>(data.size()), {32, 2});
    t.strided = 1, t.strides[0] = 1, t.strides[1] = 32;
    const Floats got = values_of(f.source(), "t");
    for (size_t i = 0; i < 32; i++) {
        CHECK_EQ(got[2 * i], stored[i]);
        CHECK_EQ(got[2 * i + 1], stored[32 + i]);
    }
}

CASE("a file that has become shorter is an error that names it") {
    File f(bytes_of(Floats{1, 2}));
    f.add("unet.a", GGML_TYPE_F32, 4, 8, {2});
    const dg::Source source = f.source();
    try {
        values_of(source, "unet.a");
        CHECK(!"no error");
    } catch (const dg::Error& e) {
        CHECK_EQ(e.status(), DG_ERR_FILE);
        CHECK(std::string(e.what()).find(f.path.string()) == 0);
        CHECK(std::string(e.what()).find("unet.a") != std::string::npos);
    }
}

CHECK_MAIN()
