#define _GNU_SOURCE
#include "inject.h"

#include <elf.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SITES = 4096, MAX_RANGES = 16, MAX_FRAMES = 64, MAX_DEPTH = 32 };

typedef struct range {
    uintptr_t begin, end, base;
    bool
        ours; /* else it is transparent: this tool itself, or the loader between caller and layer */
} range;

static struct {
    char log[4096], name[64], how[64];
    const char *libs;
    uint32_t hash;
    unsigned k;
    int depth, n_ranges, n_sites;
    bool armed, sticky, struck;
    range ranges[MAX_RANGES];
    inject_site sites[MAX_SITES];
} state = {.depth = 1};

/* ---- where our code is --------------------------------------------------------------------------- */

/* Whether the file name of `path` begins with one of the ':'-separated names. */
static bool listed(const char *path, const char *names)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    for (const char *p = names; p && *p;) {
        size_t n = strcspn(p, ":");
        if (n && strncmp(file, p, n) == 0)
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

/* The first object that is listed is the program. */
static int add_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    bool *first = arg;
    const bool ours = *first || listed(info->dlpi_name, state.libs);
    (void)size;
    *first = false;
    for (int i = 0; i < info->dlpi_phnum && state.n_ranges < MAX_RANGES; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uintptr_t begin = info->dlpi_addr + p->p_vaddr, end = begin + p->p_memsz,
                        self = (uintptr_t)&add_object;
        const bool transparent =
            (self >= begin && self < end) || listed(info->dlpi_name, "libOpenCL.so");
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && (ours || transparent))
            state.ranges[state.n_ranges++] = (range){begin, end, info->dlpi_addr, ours};
    }
    return 0;
}

static const range *range_of(const void *address)
{
    for (int i = 0; i < state.n_ranges; i++)
        if ((uintptr_t)address >= state.ranges[i].begin && (uintptr_t)address < state.ranges[i].end)
            return &state.ranges[i];
    return NULL;
}

bool inject_is_ours(const void *address)
{
    const range *r = range_of(address);
    return r && r->ours;
}

/* ---- beginning ----------------------------------------------------------------------------------- */

/* NAME:SITE:K:HOW */
static void arm(const char *spec)
{
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", spec);
    const char *name = strtok_r(copy, ":", &save), *hash = strtok_r(NULL, ":", &save);
    const char *k = strtok_r(NULL, ":", &save), *how = strtok_r(NULL, ":", &save);
    if (!how) {
        fprintf(stderr, "CLN_FAULTS=%s: not NAME:SITE:K:HOW\n", spec);
        abort();
    }
    state.sticky = how[0] == '+';
    snprintf(state.name, sizeof state.name, "%s", name);
    snprintf(state.how, sizeof state.how, "%s", how + state.sticky);
    state.hash = (uint32_t)strtoul(hash, NULL, 16);
    state.k = (unsigned)strtoul(k, NULL, 10);
    state.armed = true;
}

void inject_begin(const char *name)
{
    const char *spec = getenv("CLN_FAULTS"), *log = getenv("CLN_FAULTS_LOG"),
               *depth = getenv("CLN_FAULTS_DEPTH");
    const char *tool =
        getenv("CLN_FAULTS_TOOL"); /* which of the tools the fault is for, where both are loaded */
    void *warm[4];
    bool first = true;
    const char *program = getenv("CLN_FAULTS_PROGRAM");
    if (program && strcmp(program, program_invocation_short_name) != 0)
        return; /* nothing is ours then, and there is no log */
    state.libs = getenv("CLN_FAULTS_LIBS");
    if (depth)
        state.depth = atoi(depth) < MAX_DEPTH ? atoi(depth) : MAX_DEPTH;
    if (log)
        snprintf(state.log, sizeof state.log, "%s", log);
    dl_iterate_phdr(add_object, &first);
    (void)backtrace(warm, 4); /* its first call loads libgcc, which allocates */
    if (spec && *spec && (!tool || strcmp(tool, name) == 0))
        arm(spec);
}

/* ---- a call -------------------------------------------------------------------------------------- */

/* Hash of the innermost frames that are ours; 0: the call did not come from us. */
static uint32_t hash_of(uintptr_t *offset, bool *direct)
{
    void *frames[MAX_FRAMES];
    const int n = backtrace(frames, MAX_FRAMES);
    uint32_t hash = 2166136261u; /* FNV-1a */
    int seen = 0;
    bool foreign = false;
    for (int i = 1; i < n && seen < state.depth; i++) {
        const range *r = range_of(frames[i]);
        foreign = foreign || !r;
        if (!r || !r->ours)
            continue;
        *direct = seen ? *direct : !foreign;
        const uintptr_t at = (uintptr_t)frames[i] - r->base;
        if (!seen++)
            *offset = at;
        for (unsigned shift = 0; shift < 32; shift += 8)
            hash = (hash ^ (uint8_t)(at >> shift)) * 16777619u;
    }
    return seen ? hash | 1 : 0;
}

static inject_site *site_of(const char *name)
{
    uintptr_t offset = 0;
    bool direct = false;
    const uint32_t hash = hash_of(&offset, &direct);
    if (!hash)
        return NULL;
    for (int i = 0; i < state.n_sites; i++)
        if (state.sites[i].hash == hash && strcmp(state.sites[i].name, name) == 0)
            return &state.sites[i];
    if (state.n_sites == MAX_SITES)
        return NULL;
    state.sites[state.n_sites] = (inject_site){name, hash, offset, direct, 0};
    return &state.sites[state.n_sites++];
}

const char *inject_call(const char *name, const char *detail, const inject_site **out)
{
    if (out)
        *out = NULL;
    inject_site *site = site_of(name);
    if (!site)
        return NULL;
    site->calls++;
    if (out)
        *out = site;
    if (state.struck && state.sticky)
        return state.how;
    if (!state.armed || site->hash != state.hash || site->calls != state.k ||
        strcmp(name, state.name) != 0)
        return NULL;
    state.armed = false;
    state.struck = true;
    inject_log("injected %s %08x %u %s %s\n", name, site->hash, site->calls, state.how,
               detail ? detail : "-");
    if (strcmp(state.how, "kill") == 0)
        kill(getpid(), SIGKILL);
    return state.how;
}

/* ---- the log ------------------------------------------------------------------------------------- */

void inject_log(const char *format, ...)
{
    char line[4608];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args); /* NOLINT(clang-analyzer-valist.Uninitialized): va_start is above */
    va_end(args);
    if (!state.log[0] || n < 0)
        return;
    int fd = open(state.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1) < 0)
        abort();
    close(fd);
}

void inject_end(void)
{
    for (int i = 0; i < state.n_sites; i++)
        inject_log("site %s %08x %u %lx\n", state.sites[i].name, state.sites[i].hash,
                   state.sites[i].calls, (unsigned long)state.sites[i].offset);
}
