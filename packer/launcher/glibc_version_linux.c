/*
 * Reads the version definitions (SHT_GNU_verdef by way of DT_VERDEF) of an ELF library without loading it.
 *
 * Every offset is checked against the size of the file. Sources: System V ABI (ELF-64), LSB Core 5.0 section 10.7
 * "Symbol Versioning".
 */
#include "launcher.h"
#include "glibc_version_linux.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEFINITIONS = 4096, MAX_DYNAMIC = 4096 };
#define GLIBC_PREFIX "GLIBC_"

/* An ELF library mapped into memory, and the tables we need of it (addresses as in its program headers). */
struct library {
    const uint8_t *bytes;
    uint64_t size_bytes;
    Elf64_Ehdr header;
    uint64_t definitions_address;
    uint64_t num_definitions;
    uint64_t strings_address;
    uint64_t strings_bytes;
};

bool glibc_version_parse(const char *text, struct glibc_version *version)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    version->major = strtoul(text, &end, 10);
    if (end[0] != '.' || end[1] < '0' || end[1] > '9') {
        return false;
    }
    version->minor = strtoul(end + 1, &end, 10);
    return *end == '\0' || *end == '\n' || *end == '.';
}

bool glibc_version_reaches(const struct glibc_version *have, const struct glibc_version *needed)
{
    return have->major != needed->major ? have->major > needed->major : have->minor >= needed->minor;
}

/* Copy `length` bytes at `offset` of the file (it needn't be aligned); false when they aren't all there. */
static bool copy_out(const struct library *library, uint64_t offset, void *target, size_t length)
{
    if (offset > library->size_bytes || length > library->size_bytes - offset) {
        return false;
    }
    memcpy(target, library->bytes + offset, length);
    return true;
}

static bool program_header(const struct library *library, unsigned index, Elf64_Phdr *header)
{
    uint64_t offset = 0;
    return !__builtin_add_overflow(library->header.e_phoff, (uint64_t)index * sizeof *header, &offset) &&
           copy_out(library, offset, header, sizeof *header);
}

/* File offset of a virtual address and how many bytes of its segment follow in the file. */
static bool offset_of(const struct library *library, uint64_t address, uint64_t *offset, uint64_t *left_bytes)
{
    for (unsigned i = 0; i < library->header.e_phnum; i++) {
        Elf64_Phdr segment;
        if (!program_header(library, i, &segment)) {
            return false;
        }
        if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz &&
            !__builtin_add_overflow(segment.p_offset, address - segment.p_vaddr, offset)) {
            *left_bytes = segment.p_filesz - (address - segment.p_vaddr);
            return true;
        }
    }
    return false;
}

/* Note the tables that the dynamic section at `offset` names. */
static void read_dynamic(struct library *library, uint64_t offset, uint64_t section_bytes)
{
    Elf64_Dyn item;
    for (uint64_t i = 0; i < MAX_DYNAMIC && (i + 1) * sizeof item <= section_bytes; i++) {
        uint64_t item_offset = 0;
        if (__builtin_add_overflow(offset, i * sizeof item, &item_offset) ||
            !copy_out(library, item_offset, &item, sizeof item) || item.d_tag == DT_NULL) {
            return;
        }
        switch (item.d_tag) {
        case DT_VERDEF:
            library->definitions_address = item.d_un.d_ptr;
            break;
        case DT_VERDEFNUM:
            library->num_definitions = item.d_un.d_val;
            break;
        case DT_STRTAB:
            library->strings_address = item.d_un.d_ptr;
            break;
        case DT_STRSZ:
            library->strings_bytes = item.d_un.d_val;
            break;
        default:
            break;
        }
    }
}

/* Check that the mapped file is an x86-64 ELF library and find its tables. */
static bool read_headers(struct library *library)
{
    Elf64_Ehdr *header = &library->header;
    if (!copy_out(library, 0, header, sizeof *header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64 || header->e_phentsize != sizeof(Elf64_Phdr)) {
        return false;
    }
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        if (!program_header(library, i, &segment)) {
            return false;
        }
        if (segment.p_type == PT_DYNAMIC) {
            read_dynamic(library, segment.p_offset, segment.p_filesz);
        }
    }
    return library->definitions_address != 0 && library->strings_address != 0;
}

/* Read the definition's own name, "GLIBC_2.35", and keep it in `newest` if it is a newer version. */
static bool consider_definition(const struct library *library, const Elf64_Verdef *definition, uint64_t offset,
                                struct glibc_version *newest)
{
    Elf64_Verdaux name;
    uint64_t name_offset = 0;
    uint64_t strings_offset = 0;
    uint64_t left_bytes = 0;
    char text[32] = {0};
    if (__builtin_add_overflow(offset, definition->vd_aux, &name_offset) ||
        !copy_out(library, name_offset, &name, sizeof name) ||
        !offset_of(library, library->strings_address, &strings_offset, &left_bytes)) {
        return false;
    }
    left_bytes = left_bytes < library->strings_bytes ? left_bytes : library->strings_bytes;
    if (name.vda_name >= left_bytes || strings_offset > library->size_bytes ||
        name.vda_name >= library->size_bytes - strings_offset) {
        return false;
    }
    left_bytes -= name.vda_name;
    uint64_t in_file_bytes = library->size_bytes - strings_offset - name.vda_name;
    left_bytes = left_bytes < in_file_bytes ? left_bytes : in_file_bytes;
    size_t text_bytes = left_bytes < sizeof text - 1 ? (size_t)left_bytes : sizeof text - 1;
    memcpy(text, library->bytes + strings_offset + name.vda_name, text_bytes);
    struct glibc_version version;
    if (strncmp(text, GLIBC_PREFIX, sizeof GLIBC_PREFIX - 1) != 0 ||
        !glibc_version_parse(text + sizeof GLIBC_PREFIX - 1, &version)) {
        return false; /* GLIBC_PRIVATE, or the library's own name */
    }
    if (!glibc_version_reaches(newest, &version)) {
        *newest = version;
    }
    return true;
}

/* Walk the chain of version definitions. */
static bool newest_definition(const struct library *library, struct glibc_version *newest)
{
    uint64_t offset = 0;
    uint64_t left_bytes = 0;
    bool found = false;
    *newest = (struct glibc_version){0, 0};
    if (!offset_of(library, library->definitions_address, &offset, &left_bytes)) {
        return false;
    }
    for (uint64_t i = 0; i < library->num_definitions && i < MAX_DEFINITIONS; i++) {
        Elf64_Verdef definition;
        if (!copy_out(library, offset, &definition, sizeof definition)) {
            break;
        }
        found = consider_definition(library, &definition, offset, newest) || found;
        if (definition.vd_next == 0 || __builtin_add_overflow(offset, definition.vd_next, &offset)) {
            break;
        }
    }
    return found;
}

bool glibc_version_of_library(const char *path, struct glibc_version *newest)
{
    bool found = false;
    struct library library = {.bytes = MAP_FAILED};
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) {
        goto cleanup;
    }
    library.size_bytes = (uint64_t)status.st_size;
    library.bytes = mmap(NULL, library.size_bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (library.bytes == MAP_FAILED) {
        goto cleanup;
    }
    found = read_headers(&library) && newest_definition(&library, newest);
cleanup:
    if (library.bytes != MAP_FAILED) {
        munmap((void *)(uintptr_t)library.bytes, library.size_bytes);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    return found;
}
