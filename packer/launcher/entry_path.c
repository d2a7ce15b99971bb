/*
 * Checks of entry paths before anything is written; see entry_path.h.
 */
#include "entry_path.h"

#include <string.h>

enum { COMPONENT_MAX_BYTES = 255, DELETE_CHARACTER = 0x7f };

static const char *component_problem(const char *component, size_t component_bytes)
{
    if (component_bytes == 0) {
        return "is absolute or has an empty component";
    }
    if (component_bytes > COMPONENT_MAX_BYTES) {
        return "has a component longer than 255 bytes";
    }
    if (component[0] == '.' && (component_bytes == 1 || (component_bytes == 2 && component[1] == '.'))) {
        return "has a '.' or '..' component";
    }
    return NULL;
}

const char *entry_path_problem(const char *path, size_t path_bytes)
{
    if (path_bytes > ENTRY_PATH_MAX_BYTES) {
        return "is longer than 1024 bytes";
    }
    for (size_t i = 0; i < path_bytes; i++) {
        unsigned char character = (unsigned char)path[i];
        if (character < ' ' || character == DELETE_CHARACTER || character == '\\' || character == ':') {
            return "contains a control character, a backslash or a colon";
        }
    }
    const char *end = path + path_bytes;
    for (const char *component = path;;) {
        const char *slash = memchr(component, '/', (size_t)(end - component));
        const char *component_end = slash != NULL ? slash : end;
        const char *problem = component_problem(component, (size_t)(component_end - component));
        if (problem != NULL || slash == NULL) {
            return problem;
        }
        component = slash + 1;
    }
}

void entry_path_show(const char *path, size_t path_bytes, char *shown)
{
    size_t shown_bytes = path_bytes < ENTRY_PATH_SHOWN_BYTES - 1 ? path_bytes : ENTRY_PATH_SHOWN_BYTES - 1;
    for (size_t i = 0; i < shown_bytes; i++) {
        unsigned char character = (unsigned char)path[i];
        shown[i] = character < ' ' || character >= DELETE_CHARACTER ? '?' : (char)character;
    }
    shown[shown_bytes] = '\0';
}
