#include "hooks.h"

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "chat-auto-parser.h"
#include "chat.h"

namespace packer_chat {

namespace {

constexpr size_t MAX_KNOWN = 8;

struct Analysis {
    std::string source;
    autoparser::autoparser parser;
};

// Most recently used first. Never freed: what runs while a process ends may still ask.
std::list<Analysis> & known() {
    static auto * analyses = new std::list<Analysis>();
    return *analyses;
}

std::mutex & known_mutex() {
    static auto * mutex = new std::mutex();
    return *mutex;
}

thread_local bool is_analysing = false;

bool find(autoparser::autoparser & parser, const std::string & source) {
    const std::lock_guard<std::mutex> lock(known_mutex());
    auto & analyses = known();
    for (auto one = analyses.begin(); one != analyses.end(); ++one) {
        if (one->source == source) {
            parser = one->parser;
            analyses.splice(analyses.begin(), analyses, one);
            return true;
        }
    }
    return false;
}

void remember(const autoparser::autoparser & parser, const std::string & source) {
    const std::lock_guard<std::mutex> lock(known_mutex());
    auto & analyses = known();
    analyses.push_front(Analysis{source, parser});
    if (analyses.size() > MAX_KNOWN) {
        analyses.pop_back();
    }
}

}  // namespace

bool recall_analysis(autoparser::autoparser & parser, const common_chat_template & analysed) {
    if (is_analysing) {
        return false;
    }
    if (find(parser, analysed.source())) {
        return true;
    }
    is_analysing = true;
    try {
        parser.analyze_template(analysed);
    } catch (...) {
        is_analysing = false;
        throw;
    }
    is_analysing = false;
    remember(parser, analysed.source());
    return true;
}

}  // namespace packer_chat
