#include "model/names_networks.h"

#include <cstdlib>
#include <regex>
#include <set>

namespace dg {

namespace {

std::vector<NameMapping> one(const std::string& canonical) {
    NameMapping m;
    m.canonical = canonical;
    return {m};
}

std::string without(const std::string& name, std::initializer_list<const char*> prefixes) {
    for (const char* p : prefixes) {
        const std::string prefix = p;
        if (name.compare(0, prefix.size(), prefix) == 0) {
            return name.substr(prefix.size());
        }
    }
    return name;
}

// "12.conv.0.weight" -> 12; -1 where the name does not begin with a number.
int leading_index(const std::string& name) {
    const size_t digits = name.find_first_not_of("0123456789");
    return digits == 0 || digits == std::string::npos || digits > 6 || name[digits] != '.' ? -1
                                                                                           : std::atoi(name.c_str());
}

}  // namespace

std::vector<std::vector<NameMapping>> map_taesd(const std::vector<std::string>& names, Layout* layout) {
    *layout = Layout::Diffusers;
    std::set<int> bare;
    for (const std::string& name : names) {
        if (leading_index(name) >= 0) {
            bare.insert(leading_index(name));
            *layout = Layout::Original;
        }
    }
    const bool decoder = !bare.empty() && *bare.begin() == 1;
    std::vector<std::vector<NameMapping>> result;
    for (const std::string& name : names) {
        const int index = leading_index(name);
        if (index >= 0) {
            const std::string rest = name.substr(name.find('.'));
            result.push_back(one(std::string("taesd.") + (decoder ? "decoder.layers." : "encoder.layers.") +
                                 std::to_string(decoder ? index - 1 : index) + rest));
        } else if (name.compare(0, 15, "encoder.layers.") == 0 || name.compare(0, 15, "decoder.layers.") == 0) {
            result.push_back(one("taesd." + name));
        } else {
            result.emplace_back();
        }
    }
    return result;
}

std::vector<std::vector<NameMapping>> map_upscaler(const std::vector<std::string>& names, Layout* layout) {
    static const std::regex block(
        "^(?:body|RRDB_trunk|model\\.1\\.sub)\\.(\\d+)\\.(?:rdb|RDB)(\\d)\\.conv(\\d)(?:\\.0)?\\.(weight|bias)$");
    static const std::regex sequential("^model\\.(\\d+)\\.(weight|bias)$");
    static const std::regex trunk_end("^model\\.1\\.sub\\.\\d+\\.(weight|bias)$");
    *layout = Layout::Diffusers;
    std::vector<std::string> plain;
    std::set<int> places;  // of convolutions in the sequential layout
    for (const std::string& name : names) {
        plain.push_back(without(name, {"params_ema.", "params.", "state_dict.", "module."}));
        std::smatch m;
        if (std::regex_match(plain.back(), m, sequential)) {
            places.insert(std::atoi(m[1].str().c_str()));
            *layout = Layout::Original;
        }
    }
    const std::vector<int> order(places.begin(), places.end());  // first, upsampling ones, hr, last
    std::vector<std::vector<NameMapping>> result;
    for (const std::string& name : plain) {
        std::smatch m;
        std::string to;
        if (std::regex_match(name, m, block)) {
            to = "body." + m[1].str() + ".rdb" + m[2].str() + ".conv" + m[3].str() + "." + m[4].str();
        } else if (std::regex_match(name, m, trunk_end)) {
            to = "conv_body." + m[1].str();
        } else if (std::regex_match(name, m, sequential)) {
            const int place = std::atoi(m[1].str().c_str());
            size_t at       = 0;
            while (order[at] != place) {
                at++;
            }
            const std::string which = at == 0                  ? "conv_first"
                                      : at + 1 == order.size() ? "conv_last"
                                      : at + 2 == order.size() ? "conv_hr"
                                                               : "conv_up" + std::to_string(at);
            to                      = which + "." + m[2].str();
        } else {
            static const std::pair<const char*, const char*> kRenames[] = {
                {"trunk_conv.", "conv_body."}, {"upconv1.", "conv_up1."},      {"upconv2.", "conv_up2."},
                {"HRconv.", "conv_hr."},       {"conv_first.", "conv_first."}, {"conv_body.", "conv_body."},
                {"conv_up1.", "conv_up1."},    {"conv_up2.", "conv_up2."},     {"conv_up3.", "conv_up3."},
                {"conv_hr.", "conv_hr."},      {"conv_last.", "conv_last."}};
            for (const auto& [from, canonical] : kRenames) {
                const std::string head = from;
                if (name.compare(0, head.size(), head) == 0) {
                    to = canonical + name.substr(head.size());
                    break;
                }
            }
        }
        result.push_back(to.empty() ? std::vector<NameMapping>{} : one("upscaler." + to));
    }
    return result;
}

}  // namespace dg
