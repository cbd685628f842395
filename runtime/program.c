#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "clock.h"

struct cln_program {
    cln_program *next;
    char *file, *options; /* what cln_program_get was asked for */
    cl_program id;
    char key[CLN_CACHE_KEY];
    size_t stored; /* bytes of the binary that the disk cache holds for it; 0: compiled here */
};

/* Stand before every kernel file, in this order. */
static const char *const prelude[] = {"philox.h", "common.cl"};
enum { N_PRELUDE = sizeof prelude / sizeof prelude[0] };

const cln_embedded_file *cln_embedded_find(const char *name)
{
    for (const cln_embedded_file *f = cln_embedded; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

cl_program cln_program_id(const cln_program *p)
{
    return p->id;
}

/* ---- source text ----------------------------------------------------------------------- */

typedef struct text_buffer {
    char *bytes; /* NUL-terminated, malloc'ed */
    size_t size, room;
} text_buffer;

static bool text_append(text_buffer *t, const char *bytes, size_t size)
{
    enum { LEAST = 1 << 14 };
    if (!t->bytes || t->size + size >= t->room) { /* blocks that just fit take the square of the time with some allocators */
        const size_t room = LEAST + 2 * (t->size + size);
        char *grown = realloc(t->bytes, room);
        if (!grown)
            return false;
        t->bytes = grown;
        t->room = room;
    }
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    t->bytes[t->size] = '\0';
    return true;
}

/* Appends file `name` of $CLNORM_CL_DIR; *found is false where there is no such file or no such
 * variable. False: out of memory. */
static bool append_from_folder(text_buffer *t, const char *name, bool *found)
{
    const char *dir = getenv("CLNORM_CL_DIR");
    char path[4096], block[4096];
    *found = false;
    if (!dir || !*dir || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return true;
    FILE *f = fopen(path, "rb");
    if (!f)
        return true;
    bool ok = true;
    size_t n;
    while (ok && (n = fread(block, 1, sizeof block, f)) > 0)
        ok = text_append(t, block, n);
    *found = !ferror(f);
    fclose(f);
    return ok;
}

/* The bytes of a kernel file as they are. */
static int load_file(text_buffer *t, const char *name, cln_error *err)
{
    bool found = false;
    if (!append_from_folder(t, name, &found))
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the source of %s", name);
    if (found)
        return CLN_OK;
    const cln_embedded_file *e = cln_embedded_find(name);
    if (!e)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "there is no kernel file \"%s\"", name);
    if (!text_append(t, (const char *)e->bytes, e->size))
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the source of %s", name);
    return CLN_OK;
}

static bool append_line_number(text_buffer *t, int line, const char *name)
{
    char text[160];
    int n = snprintf(text, sizeof text, "\n#line %d \"%.120s\"\n", line, name);
    return text_append(t, text, (size_t)n);
}

/* A file, with the files that its lines `#include "name"` stand for in their place: drivers have no folder to look
 * for them in. Files that include one another are refused by their depth. */
static int append_file(text_buffer *t, const char *name, int depth, cln_error *err)
{
    enum { DEEPEST = 3 };
    static const char word[] = "#include \"";
    text_buffer file = {0};
    char included[64];
    if (depth > DEEPEST)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "%s is included by kernel files %d deep", name, depth);
    int line = 1, code = load_file(&file, name, err);
    bool ok = code || append_line_number(t, line, name);
    for (const char *at = file.bytes; !code && ok && at && *at; line++) {
        const size_t length = strcspn(at, "\n"), all = length + (at[length] == '\n');
        if (strncmp(at, word, sizeof word - 1) == 0 && sscanf(at + sizeof word - 1, "%63[^\"\n]", included) == 1) {
            code = append_file(t, included, depth + 1, err);
            ok = append_line_number(t, line + 1, name);
        } else
            ok = text_append(t, at, all);
        at += all;
    }
    free(file.bytes);
    if (!ok && !code)
        code = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the source of %s", name);
    return code;
}

static int read_source(const char *file, text_buffer *out, cln_error *err)
{
    int code = CLN_OK;
    *out = (text_buffer){0};
    for (int i = 0; !code && i < N_PRELUDE; i++)
        code = append_file(out, prelude[i], 0, err);
    if (!code)
        code = append_file(out, file, 0, err);
    if (code) {
        free(out->bytes);
        *out = (text_buffer){0};
    }
    return code;
}

/* ---- building -------------------------------------------------------------------------- */

static bool make_key(const cln_device *dev, const char *source, const char *options,
                     char key[CLN_CACHE_KEY])
{
    const char *parts[] = {source,           options,           dev->info.model,
                           dev->info.vendor, dev->info.version, dev->info.driver,
                           dev->info.platform_version};
    return cln_cache_key(parts, sizeof parts / sizeof parts[0], key);
}

bool cln_program_fingerprint(const cln_device *dev, char key[CLN_CACHE_KEY])
{
    text_buffer all = {0};
    bool ok = true;
    for (const cln_embedded_file *f = cln_embedded; ok && f->name; f++)
        if (!strstr(f->name, ".net"))
            ok = append_file(&all, f->name, 0, NULL) == CLN_OK;
    ok = ok && make_key(dev, all.bytes, CLNORM_VERSION, key);
    free(all.bytes);
    return ok;
}

/* The log's first error line, which is what a person needs; else its first line. */
static void first_error(const char *log, char *out, size_t size)
{
    const char *start = strstr(log, "error:");
    if (start)
        while (start > log && start[-1] != '\n')
            start--;
    else
        start = log + strspn(log, " \t\r\n");
    snprintf(out, size, "%.*s", (int)strcspn(start, "\r\n"), start);
}

static int build_error(const cln_device *dev, cl_program id, cl_int status, const char *file,
                       const char *options, cln_error *err)
{
    char *log = NULL, line[512] = "";
    size_t size = 0;
    clGetProgramBuildInfo(id, dev->info.device_id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    if (size > 0)
        log = calloc(size + 1, 1);
    if (log)
        clGetProgramBuildInfo(id, dev->info.device_id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    first_error(log ? log : "", line, sizeof line);
    CLN_FAIL(err, CLN_ERR_BUILD, "%s (%s) does not build on device %d (%s): %s", file, options,
             dev->info.index, dev->info.name, line[0] ? line : cln_cl_status_name(status));
    if (err)
        snprintf(err->log, sizeof err->log, "%s", log ? log : "");
    free(log);
    return CLN_ERR_BUILD;
}

/* NULL where the cache has nothing that this driver takes. */
static cl_program build_from_cache(cln_device *dev, const char *key, const char *options,
                                   size_t *stored)
{
    unsigned char *bytes = NULL;
    if (!cln_cache_load(key, &bytes, stored))
        return NULL;
    const unsigned char *binary = bytes;
    cl_int status = CL_SUCCESS, binary_status = CL_SUCCESS;
    cl_program id = clCreateProgramWithBinary(dev->context, 1, &dev->info.device_id, stored,
                                              &binary, &binary_status, &status);
    free(bytes);
    if (status != CL_SUCCESS)
        return NULL;
    if (binary_status != CL_SUCCESS ||
        clBuildProgram(id, 1, &dev->info.device_id, options, NULL, NULL) != CL_SUCCESS) {
        clReleaseProgram(id);
        return NULL;
    }
    return id;
}

/* PoCL keeps what it has compiled on disk itself, and to be asked for a binary makes it compile every kernel of the
 * program once more, for local sizes that nobody uses: longer than all the rest of a first run. */
bool cln_program_driver_caches(const cln_device *dev)
{
    return !getenv("CLNORM_KEEP_BINARIES") && strcmp(dev->info.platform_name, "Portable Computing Language") == 0;
}

/* Says once that kernels are being compiled. */
static void give_notice(cln_device *dev)
{
    char notice[512];
    if (dev->notice && !dev->cold) {
        snprintf(notice, sizeof notice, "compiling kernels for %s (first run only) ...", dev->info.name);
        dev->notice(dev->notice_arg, notice);
    }
    dev->cold = true;
}

static int build_from_source(cln_device *dev, const text_buffer *source, const char *file,
                             const char *options, cl_program *out, cln_error *err)
{
    enum { MILLISECONDS = 100 }; /* a driver that has it in its own cache takes less */
    const bool kept = cln_program_driver_caches(dev);
    const double began = cln_now();
    if (!kept)
        give_notice(dev);

    cl_int status = CL_SUCCESS;
    const char *text = source->bytes;
    cl_program id = clCreateProgramWithSource(dev->context, 1, &text, &source->size, &status);
    if (status != CL_SUCCESS)
        return CLN_FAIL_CL(err, status, "clCreateProgramWithSource");
    status = clBuildProgram(id, 1, &dev->info.device_id, options, NULL, NULL);
    if (status != CL_SUCCESS) {
        int code = build_error(dev, id, status, file, options, err);
        clReleaseProgram(id);
        return code;
    }
    if (kept && 1e3 * (cln_now() - began) > MILLISECONDS)
        give_notice(dev);
    *out = id;
    return CLN_OK;
}

static void program_free(cln_program *p)
{
    if (!p)
        return;
    if (p->id)
        clReleaseProgram(p->id);
    free(p->file);
    free(p->options);
    free(p);
}

int cln_program_get(cln_device *dev, const char *file, const char *options, cln_program **out,
                    cln_error *err)
{
    text_buffer source = {0};
    char full[1024];
    cln_program *p;

    *out = NULL;
    if (!options)
        options = "";
    for (p = dev->programs; p; p = p->next)
        if (strcmp(p->file, file) == 0 && strcmp(p->options, options) == 0) {
            *out = p;
            return CLN_OK;
        }
    /* The language version is named, or a driver may choose a newer one with other rules. */
    if (snprintf(full, sizeof full, "-cl-std=CL1.2 %s", options) >= (int)sizeof full)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "the build options of %s are too long", file);

    int code = read_source(file, &source, err);
    if (code)
        return code;
    p = calloc(1, sizeof *p);
    if (p) {
        p->file = strdup(file);
        p->options = strdup(options);
    }
    if (!p || !p->file || !p->options) {
        code = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the program %s", file);
        goto exit;
    }
    make_key(dev, source.bytes, full, p->key);
    p->id = build_from_cache(dev, p->key, full, &p->stored);
    if (!p->id) {
        p->stored = 0;
        code = build_from_source(dev, &source, file, full, &p->id, err);
    }
    if (code)
        goto exit;
    p->next = dev->programs;
    dev->programs = p;
    *out = p;
    p = NULL;
exit:
    program_free(p);
    free(source.bytes);
    return code;
}

/* PoCL's binaries grow with every further work-group function that it has compiled: what the cache
 * holds is replaced whenever the driver's binary is larger. */
static void save(cln_program *p)
{
    size_t size = 0;
    if (!p->key[0] ||
        clGetProgramInfo(p->id, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) != CL_SUCCESS ||
        size <= p->stored)
        return;
    unsigned char *bytes = malloc(size);
    if (bytes &&
        clGetProgramInfo(p->id, CL_PROGRAM_BINARIES, sizeof bytes, &bytes, NULL) == CL_SUCCESS &&
        cln_cache_store(p->key, bytes, size))
        p->stored = size;
    free(bytes);
}

void cln_program_cache_save(cln_device *dev)
{
    if (cln_program_driver_caches(dev))
        return;
    for (cln_program *p = dev->programs; p; p = p->next)
        save(p);
}

void cln_program_free_all(cln_device *dev)
{
    while (dev->programs) {
        cln_program *p = dev->programs;
        dev->programs = p->next;
        program_free(p);
    }
}
