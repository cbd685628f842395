/* A library to preload (LD_PRELOAD) before the C library: counts the program's own allocations and file operations by
 * site and fails the one that it is told to (inject.h). Blocks that the program allocated and never freed are logged
 * when the process ends, "held block COUNT" and a line "leak OFFSET BYTES" for each of the first ones.
 *
 * HOW of a fault: the number of an errno ("28"); "torn": what writes, writes half of its bytes, and then the process is
 * killed.
 * What closes, closes even where it is made to fail, as the real calls do. */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject.h"

/* glibc's own, which need no dlsym (that allocates), and AddressSanitizer's, where the program has it. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);
__attribute__((weak)) void *__interceptor_malloc(size_t n);
__attribute__((weak)) void *__interceptor_calloc(size_t count, size_t n);
__attribute__((weak)) void *__interceptor_realloc(void *p, size_t n);
__attribute__((weak)) void __interceptor_free(void *p);
#define ALLOCATOR(name) (__interceptor_##name ? __interceptor_##name : __libc_##name)

#define CALLER     __builtin_return_address(0)
#define REAL(name) ((__typeof__(&name))real(#name)) /* NOLINT(bugprone-macro-parentheses): a name, a list */

static __thread bool inside; /* our own work on a call: what it calls is passed through */
static bool ready;

typedef void (*function)(void);

static function real(const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);
    function f;
    if (!p)
        abort();
    memcpy(&f, &p, sizeof f); /* ISO C has no cast for it */
    return f;
}

/* ---- faults -------------------------------------------------------------------------------------- */

static pthread_mutex_t call_lock = PTHREAD_MUTEX_INITIALIZER;

/* How a call is to fail; NULL: it is not ours, or goes well. */
static const char *fault(const char *name, const void *caller, const char *detail)
{
    if (!ready || inside || !inject_is_ours(caller))
        return NULL;
    inside = true;
    pthread_mutex_lock(&call_lock);
    const char *how = inject_call(name, detail, NULL);
    pthread_mutex_unlock(&call_lock);
    inside = false;
    return how;
}

static bool is_torn(const char *how)
{
    return strcmp(how, "torn") == 0;
}

static int fail(const char *how)
{
    errno = atoi(how) ? atoi(how) : EIO;
    return -1;
}

static void *fail_null(const char *how)
{
    fail(how);
    return NULL;
}

/* The name of an open file, for the log. */
static const char *name_of(int fd, char path[512])
{
    char link[64];
    inside = true;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, 511);
    inside = false;
    path[n > 0 ? n : 0] = '\0';
    return path;
}

static const char *fault_fd(const char *name, const void *caller, int fd)
{
    char path[512];
    const int code = errno;
    if (!ready || inside || !inject_is_ours(caller))
        return NULL;
    const char *how = fault(name, caller, name_of(fd, path));
    errno = code;
    return how;
}

/* ---- blocks -------------------------------------------------------------------------------------- */

enum { TABLE = 1 << 16, SHOWN = 8 };

static struct {
    const void *block; /* NULL: never used; GONE: was */
    const void *caller;
    size_t bytes;
} blocks[TABLE];
static char gone;
#define GONE ((const void *)&gone)
static pthread_mutex_t block_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t n_blocks;

static size_t slot_of(const void *p)
{
    return (size_t)(((uintptr_t)p >> 4) * 2654435761u) % TABLE;
}

static void *keep(void *p, size_t n, const void *caller)
{
    if (!p || !ready || inside || !inject_is_ours(caller))
        return p;
    pthread_mutex_lock(&block_lock);
    size_t i = slot_of(p);
    while (blocks[i].block && blocks[i].block != GONE)
        i = (i + 1) % TABLE;
    blocks[i].block = p;
    blocks[i].caller = caller;
    blocks[i].bytes = n;
    if (++n_blocks > TABLE / 2)
        abort();
    pthread_mutex_unlock(&block_lock);
    return p;
}

static void forget(const void *p)
{
    if (!p || !n_blocks)
        return;
    pthread_mutex_lock(&block_lock);
    for (size_t i = slot_of(p), k = 0; blocks[i].block && k < TABLE; i = (i + 1) % TABLE, k++)
        if (blocks[i].block == p) {
            blocks[i].block = GONE;
            n_blocks--;
            break;
        }
    pthread_mutex_unlock(&block_lock);
}

static void report_blocks(void)
{
    int shown = 0;
    if (n_blocks)
        inject_log("held block %zu\n", n_blocks);
    for (size_t i = 0; i < TABLE && shown < SHOWN; i++)
        if (blocks[i].block && blocks[i].block != GONE) {
            Dl_info where = {0};
            dladdr(blocks[i].caller, &where);
            inject_log("leak %s+%lx %zu\n", where.dli_fname ? where.dli_fname : "?",
                       (unsigned long)((uintptr_t)blocks[i].caller - (uintptr_t)where.dli_fbase),
                       blocks[i].bytes);
            shown++;
        }
}

void *malloc(size_t n)
{
    const char *how = fault("malloc", CALLER, NULL);
    return how ? fail_null("12") : keep(ALLOCATOR(malloc)(n), n, CALLER);
}

void *calloc(size_t count, size_t n)
{
    const char *how = fault("calloc", CALLER, NULL);
    return how ? fail_null("12") : keep(ALLOCATOR(calloc)(count, n), count * n, CALLER);
}

void *realloc(void *p, size_t n)
{
    const char *how = fault("realloc", CALLER, NULL);
    if (how)
        return fail_null("12");
    void *q = ALLOCATOR(realloc)(p, n);
    if (q || !n)
        forget(p);
    return keep(q, n, CALLER);
}

void free(void *p)
{
    forget(p);
    ALLOCATOR(free)(p);
}

char *strdup(const char *s)
{
    const char *how = fault("strdup", CALLER, NULL);
    if (how)
        return fail_null("12");
    const size_t n = strlen(s) + 1;
    char *copy = keep(ALLOCATOR(malloc)(n), n, CALLER);
    return copy ? memcpy(copy, s, n) : NULL;
}

/* ---- files by name ------------------------------------------------------------------------------- */

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0; /* NOLINT(clang-analyzer-valist.Uninitialized): va_start is above */
    va_end(args);
    const char *how = fault("open", CALLER, path);
    return how ? fail(how) : openat(AT_FDCWD, path, flags, mode);
}

int mkstemp(char *path)
{
    const char *how = fault("mkstemp", CALLER, path);
    return how ? fail(how) : REAL(mkstemp)(path);
}

FILE *fopen(const char *path, const char *mode)
{
    const char *how = fault("fopen", CALLER, path);
    return how ? fail_null(how) : REAL(fopen)(path, mode);
}

DIR *opendir(const char *path)
{
    const char *how = fault("opendir", CALLER, path);
    return how ? fail_null(how) : REAL(opendir)(path);
}

/* Functions of one path and something else. */
#define BY_NAME(name, parameters, arguments)                                                       \
    int name parameters                                                                            \
    {                                                                                              \
        const char *how = fault(#name, CALLER, path);                                              \
        return how ? fail(how) : REAL(name) arguments; /* NOLINT(bugprone-macro-parentheses) */ \
    }
BY_NAME(mkdir, (const char *path, mode_t mode), (path, mode))
BY_NAME(unlink, (const char *path), (path))
BY_NAME(rename, (const char *from, const char *path), (from, path))
BY_NAME(stat, (const char *restrict path, struct stat *restrict st), (path, st))
BY_NAME(lstat, (const char *restrict path, struct stat *restrict st), (path, st))

/* ---- files by descriptor ------------------------------------------------------------------------- */

int close(int fd)
{
    const char *how = fault_fd("close", CALLER, fd);
    const int status = REAL(close)(fd);
    return how ? fail(how) : status;
}

#define BY_FD(name, parameters, arguments)                                                         \
    int name parameters                                                                            \
    {                                                                                              \
        const char *how = fault_fd(#name, CALLER, fd);                                             \
        return how ? fail(how) : REAL(name) arguments; /* NOLINT(bugprone-macro-parentheses) */ \
    }
BY_FD(fsync, (int fd), (fd))
BY_FD(fstat, (int fd, struct stat *st), (fd, st))
BY_FD(ftruncate, (int fd, off_t size), (fd, size))
BY_FD(flock, (int fd, int what), (fd, what))

off_t lseek(int fd, off_t offset, int whence)
{
    const char *how = fault_fd("lseek", CALLER, fd);
    return how ? fail(how) : REAL(lseek)(fd, offset, whence);
}

ssize_t read(int fd, void *to, size_t n)
{
    const char *how = fault_fd("read", CALLER, fd);
    return how ? fail(how) : REAL(read)(fd, to, n);
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    const char *how = fault_fd("pread", CALLER, fd);
    return how ? fail(how) : REAL(pread)(fd, to, n, at);
}

ssize_t write(int fd, const void *from, size_t n)
{
    const char *how = fault_fd("write", CALLER, fd);
    if (!how)
        return REAL(write)(fd, from, n);
    if (!is_torn(how))
        return fail(how);
    (void)!REAL(write)(fd, from, n / 2);
    return kill(getpid(), SIGKILL);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
    const char *how = fault_fd("pwrite", CALLER, fd);
    if (!how)
        return REAL(pwrite)(fd, from, n, at);
    if (!is_torn(how))
        return fail(how);
    (void)!REAL(pwrite)(fd, from, n / 2, at);
    return kill(getpid(), SIGKILL);
}

/* ---- streams ------------------------------------------------------------------------------------- */

static void set_error(FILE *f)
{
    f->_flags |= 0x20;
} /* _IO_ERR_SEEN: what ferror looks at */

FILE *fdopen(int fd, const char *mode)
{
    const char *how = fault_fd("fdopen", CALLER, fd);
    return how ? fail_null(how) : REAL(fdopen)(fd, mode);
}

size_t fread(void *to, size_t size, size_t n, FILE *f)
{
    const char *how = fault_fd("fread", CALLER, fileno(f));
    if (!how)
        return REAL(fread)(to, size, n, f);
    set_error(f);
    fail(how);
    return 0;
}

size_t fwrite(const void *from, size_t size, size_t n, FILE *f)
{
    const char *how = fault_fd("fwrite", CALLER, fileno(f));
    if (!how)
        return REAL(fwrite)(from, size, n, f);
    const size_t half = REAL(fwrite)(from, 1, size * n / 2, f) / size;
    if (is_torn(how)) {
        REAL(fflush)(f);
        kill(getpid(), SIGKILL);
    }
    set_error(f);
    fail(how);
    return half;
}

int fflush(FILE *f)
{
    const char *how = f ? fault_fd("fflush", CALLER, fileno(f)) : NULL;
    if (!how)
        return REAL(fflush)(f);
    set_error(f);
    return fail(how);
}

int fclose(FILE *f)
{
    const char *how = fault_fd("fclose", CALLER, fileno(f));
    const int status = REAL(fclose)(f);
    return how ? fail(how) : status;
}

int fseek(FILE *f, long offset, int whence)
{
    const char *how = fault_fd("fseek", CALLER, fileno(f));
    return how ? fail(how) : REAL(fseek)(f, offset, whence);
}

/* ---- beginning and end --------------------------------------------------------------------------- */

__attribute__((constructor)) static void begin(void)
{
    inject_begin("libc");
    ready = true;
}

__attribute__((destructor)) static void end(void)
{
    ready = false;
    report_blocks();
    inject_end();
}
