/* The C interface of libpacker-chat: llama.cpp's chat templates and reply parsers, JSON in and JSON out.
 *
 * Text comes in as pointer and length in UTF-8; every answer is a NUL-terminated JSON object in memory that
 * packer_chat_free releases, NULL only when there is no memory at all. An answer with the member "error" means that
 * nothing was done: {"error": {"kind": "limit" | "refused" | "internal", "message": "..."}}. No exception, abort or
 * stack overflow leaves the library; each call is bounded in time, memory and recursion (budget.h).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define PACKER_CHAT_API __declspec(dllexport)
#else
#define PACKER_CHAT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct packer_chat_template packer_chat_template;
typedef struct packer_chat_parser packer_chat_parser;

/* Changes whenever a caller would have to. */
PACKER_CHAT_API int32_t packer_chat_abi_version(void);

/* Compiles {"source", "bos_token", "eos_token"}; an empty source means ChatML. Answers {"caps": {name: bool}} and sets
 * *out; packer_chat_template_close frees it. */
PACKER_CHAT_API char * packer_chat_template_open(const char * request, size_t length, packer_chat_template ** out);

/* Renders a conversation and says how to generate and read the reply.
 *
 * Request: {"messages": [...], "tools": [...], "only_tool": name, "tool_choice": "auto" | "none" | "required",
 * "parallel_tool_calls", "enable_thinking", "reasoning_format", "json_schema": {...}, "add_generation_prompt",
 * "chat_template_kwargs": {...}}; messages and tools as in OpenAI's API, all but messages optional.
 * Answer: {"prompt", "generation_prompt", "grammar", "grammar_lazy", "grammar_triggers": [{"type", "value"}],
 * "preserved_tokens", "additional_stops", "supports_thinking", "thinking_start_tag", "thinking_end_tags", "format",
 * "parser"}. */
PACKER_CHAT_API char * packer_chat_template_apply(packer_chat_template * from, const char * request, size_t length);

PACKER_CHAT_API void packer_chat_template_close(packer_chat_template * from);

/* Prepares to read one reply: {"format", "parser", "generation_prompt"} of an answer of packer_chat_template_apply and
 * "reasoning_format" of its request. Answers {}. */
PACKER_CHAT_API char * packer_chat_parser_open(const char * request, size_t length, packer_chat_parser ** out);

/* Adds text to the reply and answers what is new in the message:
 * {"deltas": [{"reasoning_content": "..."} | {"content": "..."} | {"tool_call": index, "id", "name", "arguments"}]}.
 * "arguments" is what is added, "id" and "name" are whole and only there when they changed. With is_final the reply is
 * complete; {"unparsed": true} says that it is not what the format promised. */
PACKER_CHAT_API char * packer_chat_parser_push(packer_chat_parser * parser, const char * text, size_t length,
                                               int32_t is_final);

PACKER_CHAT_API void packer_chat_parser_close(packer_chat_parser * parser);

PACKER_CHAT_API void packer_chat_free(char * answer);

#ifdef __cplusplus
}
#endif
