#include "chat_abi.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "budget.h"
#include "chat.h"

using json = common_json;

namespace {

constexpr int32_t ABI_VERSION = 1;
constexpr size_t MAX_TEMPLATE_BYTES = size_t(256) << 10;
constexpr const char * OUT_OF_MEMORY = R"({"error":{"kind":"limit","message":"there is not enough memory"}})";

struct Refusal : std::runtime_error {
    using std::runtime_error::runtime_error;
};

char * copy_text(const std::string & text) {
    char * copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy != nullptr) {
        std::memcpy(copy, text.c_str(), text.size() + 1);
    }
    return copy;
}

std::string error_answer(const char * kind, const std::string & message) {
    return json{{"error", {{"kind", kind}, {"message", message}}}}.dump_safe();
}

// Runs body within a budget and returns its answer; whatever it throws becomes an answer as well.
template <typename Body>
char * answer(Body && body) {
    char * result = nullptr;
    const auto guarded = [&]() noexcept {
        try {
            try {
                result = copy_text(body());
            } catch (const std::exception & error) {
                const char * limit = packer_chat::exceeded_limit();
                result = copy_text(error_answer(limit != nullptr ? "limit" : "refused",
                                                limit != nullptr ? limit : error.what()));
            } catch (...) {
                result = copy_text(error_answer("internal", "an exception of an unknown kind"));
            }
        } catch (...) {
            result = copy_text(OUT_OF_MEMORY);
        }
    };
    return packer_chat::run_within_budget(guarded) ? result : copy_text(OUT_OF_MEMORY);
}

template <typename T>
void destroy(T * object) {
    // Deeply nested values need the large stack for their destructors, too.
    if (object != nullptr) {
        packer_chat::run_within_budget([object] { delete object; });
    }
}

json read_object(const char * text, size_t length) {
    json value = json::parse(std::string(text, length));
    if (!value.is_object()) {
        throw Refusal("the request is no JSON object");
    }
    return value;
}

std::string text_of(const json & object, const char * name) { return object.value(name, std::string()); }

bool flag_of(const json & object, const char * name, bool otherwise) { return object.value(name, otherwise); }

common_chat_templates_ptr compile(const std::string & source, const std::string & bos, const std::string & eos) {
    try {
        return common_chat_templates_init(nullptr, source, bos, eos);
    } catch (const std::exception &) {
        if (packer_chat::exceeded_limit() == nullptr) {
            // Upstream slices the exception and so loses its message; the same step once more gives it.
            common_chat_template again(source, bos, eos);
        }
        throw;
    }
}

common_chat_templates_inputs read_inputs(const json & request, const json & tools) {
    common_chat_templates_inputs inputs;
    inputs.messages = common_chat_msgs_parse_oaicompat(request.at("messages"));
    inputs.tools = common_chat_tools_parse_oaicompat(tools);
    inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(request.value("tool_choice", std::string("auto")));
    inputs.parallel_tool_calls = flag_of(request, "parallel_tool_calls", false);
    inputs.add_generation_prompt = flag_of(request, "add_generation_prompt", true);
    inputs.enable_thinking = flag_of(request, "enable_thinking", true);
    inputs.reasoning_format = common_reasoning_format_from_name(request.value("reasoning_format", std::string("auto")));
    if (request.contains("json_schema") && !request.at("json_schema").is_null()) {
        inputs.json_schema = request.at("json_schema").dump();
    }
    if (request.contains("chat_template_kwargs")) {
        for (const auto & [name, value] : request.at("chat_template_kwargs").items()) {
            inputs.chat_template_kwargs[name] = value.dump();
        }
    }
    return inputs;
}

json only(const json & tools, const std::string & name) {
    json found = json::array();
    for (const auto & tool : tools) {
        if (tool.at("function").at("name").get<std::string>() == name) {
            found.push_back(tool);
        }
    }
    if (found.empty()) {
        throw Refusal("there is no tool named " + name);
    }
    return found;
}

const char * trigger_name(common_grammar_trigger_type type) {
    switch (type) {
        case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN: return "token";
        case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: return "word";
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN: return "pattern";
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL: return "pattern_full";
    }
    throw Refusal("a grammar trigger of an unknown kind");
}

std::string describe(const common_chat_params & params) {
    json triggers = json::array();
    for (const auto & trigger : params.grammar_triggers) {
        triggers.push_back({{"type", trigger_name(trigger.type)}, {"value", trigger.value}});
    }
    return json{
        {"prompt", params.prompt},
        {"generation_prompt", params.generation_prompt},
        {"grammar", params.grammar},
        {"grammar_lazy", params.grammar_lazy},
        {"grammar_triggers", triggers},
        {"preserved_tokens", params.preserved_tokens},
        {"additional_stops", params.additional_stops},
        {"supports_thinking", params.supports_thinking},
        {"thinking_start_tag", params.thinking_start_tag},
        {"thinking_end_tags", params.thinking_end_tags},
        {"format", static_cast<int>(params.format)},
        {"parser", params.parser},
    }.dump_safe();
}

json describe(const common_chat_msg_diff & diff) {
    json delta = json::object();
    if (diff.tool_call_index != std::string::npos) {
        delta["tool_call"] = diff.tool_call_index;
        if (!diff.tool_call_delta.name.empty()) {
            delta["name"] = diff.tool_call_delta.name;
            delta["id"] = diff.tool_call_delta.id;
        }
        delta["arguments"] = diff.tool_call_delta.arguments;
    } else if (!diff.reasoning_content_delta.empty()) {
        delta["reasoning_content"] = diff.reasoning_content_delta;
    } else {
        delta["content"] = diff.content_delta;
    }
    return delta;
}

}  // namespace

struct packer_chat_template {
    std::mutex mutex;
    common_chat_templates_ptr templates;
};

struct packer_chat_parser {
    common_chat_parser_params params;
    std::string text;
    common_chat_msg message;

    std::vector<common_chat_msg_diff> read(bool is_final) {
        const common_chat_msg next = common_chat_parse(text, !is_final, params);
        std::vector<common_chat_msg_diff> diffs;
        if (!next.empty()) {
            diffs = common_chat_msg_diff::compute_diffs(message, next);
            message = next;
        }
        return diffs;
    }
};

int32_t packer_chat_abi_version(void) { return ABI_VERSION; }

char * packer_chat_template_open(const char * request, size_t length, packer_chat_template ** out) {
    *out = nullptr;
    return answer([&] {
        const json wanted = read_object(request, length);
        const std::string source = text_of(wanted, "source");
        if (source.size() > MAX_TEMPLATE_BYTES) {
            throw Refusal("it is " + std::to_string(source.size()) + " bytes long; at most " +
                          std::to_string(MAX_TEMPLATE_BYTES) + " can be read");
        }
        auto made = std::make_unique<packer_chat_template>();
        made->templates = compile(source.empty() ? "chatml" : source, text_of(wanted, "bos_token"),
                                  text_of(wanted, "eos_token"));
        const std::string result = json{{"caps", common_chat_templates_get_caps(made->templates.get())}}.dump_safe();
        *out = made.release();
        return result;
    });
}

char * packer_chat_template_apply(packer_chat_template * from, const char * request, size_t length) {
    const std::lock_guard<std::mutex> lock(from->mutex);
    return answer([&] {
        const json wanted = read_object(request, length);
        const json tools = wanted.contains("tools") ? wanted.at("tools") : json();
        const std::string only_tool = text_of(wanted, "only_tool");
        auto params = common_chat_templates_apply(from->templates.get(), read_inputs(wanted, tools));
        if (!only_tool.empty()) {
            // The prompt shows every tool, the grammar allows the one.
            auto narrow = common_chat_templates_apply(from->templates.get(), read_inputs(wanted, only(tools, only_tool)));
            narrow.prompt = std::move(params.prompt);
            params = std::move(narrow);
        }
        return describe(params);
    });
}

void packer_chat_template_close(packer_chat_template * from) { destroy(from); }

char * packer_chat_parser_open(const char * request, size_t length, packer_chat_parser ** out) {
    *out = nullptr;
    return answer([&] {
        const json wanted = read_object(request, length);
        const int format = wanted.value("format", 0);
        if (format < 0 || format >= COMMON_CHAT_FORMAT_COUNT) {
            throw Refusal("there is no format " + std::to_string(format));
        }
        auto made = std::make_unique<packer_chat_parser>();
        made->params.format = static_cast<common_chat_format>(format);
        made->params.generation_prompt = text_of(wanted, "generation_prompt");
        made->params.reasoning_format =
            common_reasoning_format_from_name(wanted.value("reasoning_format", std::string("auto")));
        const std::string parser = text_of(wanted, "parser");
        if (!parser.empty()) {
            made->params.parser.load(parser);
        }
        *out = made.release();
        return std::string("{}");
    });
}

char * packer_chat_parser_push(packer_chat_parser * parser, const char * text, size_t length, int32_t is_final) {
    return answer([&] {
        parser->text.append(text, length);
        json deltas = json::array();
        bool is_unparsed = false;
        try {
            for (const auto & diff : parser->read(is_final != 0)) {
                deltas.push_back(describe(diff));
            }
        } catch (const std::exception &) {
            // An unfinished reply may read differently once there is more of it.
            is_unparsed = is_final != 0;
        }
        return json{{"deltas", deltas}, {"unparsed", is_unparsed}}.dump_safe();
    });
}

void packer_chat_parser_close(packer_chat_parser * parser) { destroy(parser); }

void packer_chat_free(char * answer) { std::free(answer); }
