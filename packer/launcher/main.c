/*
 * The launcher: open our own file, unpack its runtime once, run it. See README.md in this directory.
 */
#include "launcher.h"
#include "archive.h"
#include "bundle.h"
#include "cache.h"
#include "crc32.h"
#include "execute.h"
#include "platform.h"

#include <stdlib.h>

/* All that the launcher knows while it runs. */
struct context {
    int num_arguments;
    char *const *arguments;
    struct bundle bundle;
    struct archive archive;
    char *runtime_path;
};

/* Returns (false) only when the runtime couldn't be started. */
static bool launch(struct context *context, struct failure *failure)
{
    if (!bundle_open_self(&context->bundle, failure) ||
        !archive_open(&context->bundle, &context->archive, failure)) {
        return false;
    }
    trace("read the directory of %s: %zu files", context->bundle.path, context->archive.num_entries);
    mark_cache();
    if (!cache_provide(&context->bundle, &context->archive, &context->runtime_path, failure)) {
        return false;
    }
    trace("the runtime is complete in %s", context->runtime_path);
    return execute_runtime(&context->bundle, context->runtime_path, context->num_arguments, context->arguments,
                           failure);
}

int main(int num_arguments, char **arguments)
{
    struct failure failure = {.kind = FAILURE_NONE};
    struct context context = {
        .num_arguments = num_arguments, .arguments = arguments, .bundle = {.file = DISK_FILE_NONE}};
    if (environment_text("PACKER_LAUNCHER_PROBE") != NULL) {
        return 0; /* the script of a portable file wants to know whether programs run from where it put us */
    }
    platform_open_standard_streams();
    trace_start();
    crc32_prepare();
    launch(&context, &failure);
    int exit_code = failure_exit_code(&failure);
    if (failure.kind != FAILURE_INTERRUPTED) {
        const char *text = failure.text != NULL ? failure.text : "out of memory";
        say("error: %s", text);
        platform_show_failure(text);
    }
    failure_clear(&failure);
    free(context.runtime_path);
    archive_close(&context.archive);
    bundle_close(&context.bundle);
    return exit_code;
}
