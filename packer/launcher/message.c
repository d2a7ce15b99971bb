/*
 * Text for the user: failures, one-line messages, timing lines, and formatted strings.
 */
#include "launcher.h"
#include "platform.h"
#include "signals.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double trace_origin_ms;
static double cache_origin_ms;
static bool trace_wanted;

static void write_line(const char *prefix, const char *format, va_list arguments)
{
    char *body = NULL;
    char *line = NULL;
    if (vasprintf(&body, format, arguments) < 0) {
        body = NULL;
        goto cleanup;
    }
    int line_bytes = asprintf(&line, "%s%s\n", prefix, body);
    if (line_bytes < 0) {
        line = NULL;
        goto cleanup;
    }
    platform_write_error(line, (size_t)line_bytes); /* one call, so lines of parallel starts don't mix */
cleanup:
    free(line);
    free(body);
}

bool fail(struct failure *failure, enum failure_kind kind, const char *format, ...)
{
    if (failure->kind != FAILURE_NONE) {
        return false;
    }
    va_list arguments;
    va_start(arguments, format);
    failure->kind = kind;
    if (vasprintf(&failure->text, format, arguments) < 0) {
        failure->text = NULL;
    }
    va_end(arguments);
    return false;
}

void failure_clear(struct failure *failure)
{
    free(failure->text);
    *failure = (struct failure){.kind = FAILURE_NONE};
}

int failure_exit_code(const struct failure *failure)
{
    switch (failure->kind) {
    case FAILURE_DAMAGED:
        return EXIT_CODE_DAMAGED;
    case FAILURE_INTERRUPTED:
        return EXIT_CODE_SIGNAL + signals_pending();
    default:
        return EXIT_CODE_MACHINE;
    }
}

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line("", format, arguments);
    va_end(arguments);
}

void trace_start(void)
{
    const char *wanted = environment_text("PACKER_LAUNCHER_TRACE");
    trace_wanted = wanted != NULL && strcmp(wanted, "1") == 0;
    trace_origin_ms = platform_clock_ms();
}

void mark_cache(void)
{
    cache_origin_ms = platform_clock_ms();
}

char *clock_text(void)
{
    return format_text("%.3f %.3f %.3f", trace_origin_ms, cache_origin_ms, platform_clock_ms());
}

void trace(const char *format, ...)
{
    if (!trace_wanted) {
        return;
    }
    char prefix[48];
    snprintf(prefix, sizeof prefix, "launcher: %9.3f ms  ", platform_clock_ms() - trace_origin_ms);
    va_list arguments;
    va_start(arguments, format);
    write_line(prefix, format, arguments);
    va_end(arguments);
}

static _Noreturn void out_of_memory(void)
{
    static const char text[] = "error: out of memory while starting; close other programs and try again\n";
    platform_write_error(text, sizeof text - 1);
    _exit(EXIT_CODE_MACHINE);
}

char *format_text(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int text_bytes = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (text_bytes < 0) {
        out_of_memory();
    }
    return text;
}

void *allocate(size_t count, size_t item_bytes)
{
    void *memory = calloc(count > 0 ? count : 1, item_bytes);
    if (memory == NULL) {
        out_of_memory();
    }
    return memory;
}
