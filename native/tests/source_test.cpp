// Which files a diffusers folder is read from, and what is said of files that do not fit.

#include "model/source.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "check.h"
#include "daguerre.h"

namespace fs = std::filesystem;

namespace {

struct Folder {
    fs::path path;

    Folder() {
        std::string pattern = (fs::temp_directory_path() / "daguerre-source-XXXXXX").string();
        path                = mkdtemp(pattern.data());
    }
    ~Folder() { fs::remove_all(path); }

    // A safetensors file of one-element F32 tensors with these names, all of one value.
    std::string write(const std::string& name, const std::vector<std::string>& tensors, float value = 1) const {
        std::string header = "{";
        for (size_t i = 0; i < tensors.size(); i++) {
            header += (i > 0 ? "," : "") + std::string("\"") + tensors[i] +
                      "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + std::to_string(4 * i) + "," +
                      std::to_string(4 * i + 4) + "]}";
        }
        header += "}";
        fs::create_directories((path / name).parent_path());
        std::ofstream file(path / name, std::ios::binary);
        const uint64_t size = header.size();
        file.write(reinterpret_cast<const char*>(&size), 8);
        file << header;
        for (size_t i = 0; i < tensors.size(); i++) {
            file.write(reinterpret_cast<const char*>(&value), 4);
        }
        return (path / name).string();
    }
};

std::string failure(const fs::path& path, int32_t role, dg_status want) {
    dg::Source source;
    try {
        source.add(path.string(), role);
    } catch (const dg::Error& e) {
        CHECK_EQ(e.status(), want);
        return e.what();
    }
    CHECK(!"no error");
    return "";
}

float value_of(const dg::Source& source, const std::string& name) {
    const dg::SourceTensor* tensor = source.find(name);
    REQUIRE(tensor != nullptr);
    dg::SourceReader reader(source);
    ggml_type type;
    const void* data = reader.read(*tensor, &type);
    REQUIRE(type == GGML_TYPE_F32);
    return *static_cast<const float*>(data);
}

}  // namespace

CASE("shards of one variant, the plain one first") {
    Folder f;
    f.write("unet/diffusion_pytorch_model-00001-of-00002.safetensors", {"conv_in.weight"}, 1);
    f.write("unet/diffusion_pytorch_model-00002-of-00002.safetensors", {"conv_out.weight"}, 1);
    f.write("unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors", {"conv_in.weight", "conv_out.weight"}, 2);
    dg::Source source;
    source.add(f.path.string(), DG_ROLE_MODEL);
    CHECK_EQ(source.files().size(), size_t{2});
    CHECK_EQ(value_of(source, "unet.conv_in.weight"), 1.0f);
    CHECK_EQ(value_of(source, "unet.conv_out.weight"), 1.0f);
    CHECK_EQ(source.layout(), 1);
}

CASE("a plain file goes before shards and variants, a lone variant is taken") {
    Folder f;
    f.write("unet/diffusion_pytorch_model.safetensors", {"conv_in.weight"}, 3);
    f.write("unet/diffusion_pytorch_model.bf16.safetensors", {"conv_in.weight"}, 4);
    f.write("vae/diffusion_pytorch_model.non_ema.safetensors", {"quant_conv.weight"}, 5);
    dg::Source source;
    source.add(f.path.string(), DG_ROLE_MODEL);
    CHECK_EQ(value_of(source, "unet.conv_in.weight"), 3.0f);
    CHECK_EQ(value_of(source, "vae.quant_conv.weight"), 5.0f);
}

CASE("two variants without a plain file are not chosen between") {
    Folder f;
    f.write("unet/diffusion_pytorch_model.bf16.safetensors", {"conv_in.weight"});
    f.write("unet/diffusion_pytorch_model.int8.safetensors", {"conv_in.weight"});
    CHECK(failure(f.path, DG_ROLE_MODEL, DG_ERR_FILE).find("2 variants") != std::string::npos);
}

CASE("a later file replaces its component and nothing else") {
    Folder f;
    const std::string whole = f.write(
        "model.safetensors", {"model.diffusion_model.time_embed.0.weight", "first_stage_model.quant_conv.weight",
                              "first_stage_model.post_quant_conv.weight"});
    const std::string vae = f.write("vae.safetensors", {"quant_conv.weight"}, 7);
    dg::Source source;
    source.add(whole, DG_ROLE_MODEL);
    source.add(vae, DG_ROLE_VAE);
    CHECK_EQ(value_of(source, "vae.quant_conv.weight"), 7.0f);
    CHECK(source.find("vae.post_quant_conv.weight") == nullptr);
    CHECK(source.find("unet.time_embedding.linear_1.weight") != nullptr);
    CHECK_EQ(source.path_of("vae.decoder.conv_in.weight"), vae);  // missing: where it would belong
}

CASE("files that are something else") {
    Folder f;
    const std::string lora = f.write("lora.safetensors", {"lora_unet_mid_block.lora_up.weight"});
    CHECK(failure(lora, DG_ROLE_UNET, DG_ERR_MODEL).find("unet") != std::string::npos);
    CHECK(failure(f.path / "absent.safetensors", DG_ROLE_MODEL, DG_ERR_FILE).find("absent") != std::string::npos);
    CHECK(failure(f.path, DG_ROLE_MODEL, DG_ERR_FILE).find("diffusers folder") != std::string::npos);
    CHECK(failure(f.path, DG_ROLE_VAE, DG_ERR_FILE).find("folder") != std::string::npos);
    std::ofstream(f.path / "text.safetensors") << "<html>not found</html>";
    failure(f.path / "text.safetensors", DG_ROLE_MODEL, DG_ERR_FORMAT);
    const std::string cut = f.write("cut.safetensors", {"model.diffusion_model.time_embed.0.weight"});
    fs::resize_file(cut, fs::file_size(cut) - 2);
    CHECK(failure(cut, DG_ROLE_MODEL, DG_ERR_FORMAT).find("truncated") != std::string::npos);
}

CHECK_MAIN()
