#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_TEMPORARIES = 100
}; /* names tried before giving up: leftovers of processes of the same pid */

static const char *advice(int code)
{
    switch (code) {
    case ENOSPC:
    case EDQUOT:
        return ": free some space or choose another folder";
    case EFBIG:
        return ": raise the limit on file sizes (ulimit -f) or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
        return ": choose a folder that you may write, or change its permissions";
    case ENOTDIR:
        return ": a part of this path is a file; choose another folder";
    case EMFILE:
    case ENFILE:
        return ": too many files are open; raise the limit (ulimit -n)";
    case EIO:
        return ": the disk reports a fault";
    default:
        return "";
    }
}

int cln_file_error(cln_error *err, const char *what, const char *path, int code)
{
    int rc = CLN_FAIL(err, CLN_ERR_IO, "%s %s: %s%s", what, path, strerror(code), advice(code));
    errno = code;
    return rc;
}

int cln_path_join(char *out, size_t size, const char *dir, const char *name, cln_error *err)
{
    size_t n = strlen(dir);
    bool alone = n == 0 || name[0] == '/';
    const char *slash = alone || dir[n - 1] == '/' ? "" : "/";
    int length = snprintf(out, size, "%s%s%s", alone ? "" : dir, slash, name);

    if (length < 0 || (size_t)length >= size)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "the path %.60s.../%.60s is too long (limit %zu bytes)", dir, name,
                        size - 1);
    return 0;
}

/* The folder that path lies in. */
static int parent_of(char *out, size_t size, const char *path, cln_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);

    if (slash == NULL)
        return cln_path_join(out, size, "", ".", err);
    if (n == 0)
        n = 1; /* the root */
    if (n >= size)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "the path %.100s... is too long", path);
    memcpy(out, path, n);
    out[n] = '\0';
    return 0;
}

static int make_one(const char *path, cln_error *err)
{
    struct stat info;

    if (mkdir(path, 0777) == 0)
        return 0;
    int code = errno;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return 0;
        code = ENOTDIR;
    }
    return cln_file_error(err, "cannot make the folder", path, code);
}

int cln_dir_make(const char *path, cln_error *err)
{
    char part[CLN_PATH_MAX];
    int rc = cln_path_join(part, sizeof part, "", path, err);

    if (rc != 0)
        return rc;
    if (path[0] == '\0')
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "the name of a folder is empty");
    for (char *p = part + 1; *p != '\0'; p++) {
        if (*p != '/' || p[-1] == '/')
            continue;
        *p = '\0';
        rc = make_one(part, err);
        if (rc != 0)
            return rc;
        *p = '/';
    }
    return make_one(part, err);
}

bool cln_file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* ---- reading --------------------------------------------------------------------------------- */

int cln_file_open(const char *path, int *fd, uint64_t *length, cln_error *err)
{
    struct stat info;
    int rc = 0;
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */

    if (opened < 0)
        return cln_file_error(err, "cannot open", path, errno);
    if (fstat(opened, &info) != 0)
        rc = cln_file_error(err, "cannot read", path, errno);
    else if (!S_ISREG(info.st_mode))
        rc = CLN_FAIL(err, CLN_ERR_IO, "%s is %s, not a file", path,
                      S_ISDIR(info.st_mode) ? "a folder" : "a device or pipe");
    if (rc != 0) {
        close(opened);
        return rc;
    }
    *fd = opened;
    *length = (uint64_t)info.st_size;
    return 0;
}

int cln_file_read(int fd, const char *path, void *bytes, size_t n, cln_error *err)
{
    size_t got = 0;

    while (got < n) {
        ssize_t step = read(fd, (char *)bytes + got, n - got);
        if (step < 0 && errno == EINTR)
            continue;
        if (step < 0)
            return cln_file_error(err, "cannot read", path, errno);
        if (step == 0)
            return CLN_FAIL(err, CLN_ERR_IO, "%s became shorter while it was read", path);
        got += (size_t)step;
    }
    return 0;
}

int cln_file_read_all(const char *path, size_t limit, unsigned char **bytes, size_t *n,
                      cln_error *err)
{
    uint64_t length = 0;
    int fd = -1;
    int rc = cln_file_open(path, &fd, &length, err);

    if (rc != 0)
        return rc;
    unsigned char *block = length > limit ? NULL : malloc((size_t)length + 1);
    if (length > limit)
        rc = CLN_FAIL(err, CLN_ERR_DATA, "%s is too large: %ju bytes, at most %zu are read", path,
                      (uintmax_t)length, limit);
    else if (block == NULL)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to read %s", path);
    else
        rc = cln_file_read(fd, path, block, (size_t)length, err);
    close(fd);
    if (rc != 0 || block == NULL) {
        free(block);
        return rc;
    }
    block[length] = '\0';
    *bytes = block;
    *n = (size_t)length;
    return 0;
}

/* ---- atomic writing -------------------------------------------------------------------------- */

bool cln_file_is_temporary_of(const char *candidate, const char *name)
{
    size_t n = strlen(name);

    if (candidate[0] != '.' || strncmp(candidate + 1, name, n) != 0 || candidate[1 + n] != '.')
        return false;
    const char *p = candidate + 2 + n;
    size_t digits = strspn(p, "0123456789");
    if (digits == 0 || p[digits] != '-')
        return false;
    p += digits + 1;
    digits = strspn(p, "0123456789");
    return digits > 0 && strcmp(p + digits, ".tmp") == 0;
}

static int open_temporary(cln_writer *w, cln_error *err)
{
    const char *slash = strrchr(w->path, '/');
    const char *name = slash == NULL ? w->path : slash + 1;
    int fd = -1;

    if (name[0] == '\0')
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s names a folder, not a file", w->path);
    for (int k = 0; fd < 0 && k < MAX_TEMPORARIES; k++) {
        int n = snprintf(w->temporary, sizeof w->temporary, "%.*s.%s.%ld-%d.tmp",
                         (int)(name - w->path), w->path, name, (long)getpid(), k);
        if (n < 0 || (size_t)n >= sizeof w->temporary)
            return cln_file_error(err, "cannot write", w->path, ENAMETOOLONG);
        fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return cln_file_error(err, "cannot write", w->path, errno);
    w->file = fdopen(fd, "wb");
    if (w->file == NULL) {
        close(fd);
        unlink(w->temporary);
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", w->path);
    }
    return 0;
}

/* What the new file takes the place of: behind a symbolic link its target; never a device, as root could. */
static int find_place(cln_writer *w, cln_error *err)
{
    struct stat st;

    if (stat(w->path, &st) != 0)
        return 0; /* it is new, or what follows tells */
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return CLN_FAIL(err, CLN_ERR_IO, "%s is a device or a pipe: choose the name of a file", w->path);
    if (lstat(w->path, &st) != 0 || !S_ISLNK(st.st_mode))
        return 0;
    char *target = realpath(w->path, NULL);
    const int n = target == NULL ? -1 : snprintf(w->path, sizeof w->path, "%s", target);
    const int why = target == NULL ? errno : ENAMETOOLONG;
    free(target);
    return n >= 0 && (size_t)n < sizeof w->path ? 0 : cln_file_error(err, "cannot write", w->path, why);
}

int cln_writer_open(cln_writer *w, const char *path, cln_error *err)
{
    w->file = NULL;
    w->temporary[0] = '\0';
    int rc = cln_path_join(w->path, sizeof w->path, "", path, err);
    if (rc == 0)
        rc = find_place(w, err);
    return rc != 0 ? rc : open_temporary(w, err);
}

int cln_writer_put(cln_writer *w, const void *bytes, size_t n, cln_error *err)
{
    if (n != 0 && fwrite(bytes, 1, n, w->file) != n)
        return cln_file_error(err, "cannot write", w->path, errno);
    return 0;
}

/* A renamed file survives a power cut only once its folder is on the disk too. Not every file system
 * can sync a folder, and one may be writable but not readable: neither makes the write a failure. */
static int sync_parent(const char *path, cln_error *err)
{
    char folder[CLN_PATH_MAX];
    int rc = parent_of(folder, sizeof folder, path, err);

    if (rc != 0)
        return rc;
    int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : cln_file_error(err, "cannot sync", folder, errno);
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        rc = cln_file_error(err, "cannot sync", folder, errno);
    close(fd);
    return rc;
}

int cln_writer_sync(cln_writer *w, cln_error *err)
{
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)
        return cln_file_error(err, "cannot write", w->path, errno);
    return 0;
}

int cln_writer_close(cln_writer *w, int rc, cln_error *err)
{
    if (w->file == NULL)
        return rc;
    if (rc == 0)
        rc = cln_writer_sync(w, err);
    if (fclose(w->file) != 0 && rc == 0)
        rc = cln_file_error(err, "cannot write", w->path, errno);
    w->file = NULL;
    if (rc == 0 && rename(w->temporary, w->path) != 0)
        rc = cln_file_error(err, "cannot replace", w->path, errno);
    if (rc != 0) {
        unlink(w->temporary);
        return rc;
    }
    return sync_parent(w->path, err);
}

int cln_file_write_atomic(const char *path, const void *bytes, size_t n, cln_error *err)
{
    cln_writer w;
    int rc = cln_writer_open(&w, path, err);

    if (rc == 0)
        rc = cln_writer_put(&w, bytes, n, err);
    return cln_writer_close(&w, rc, err);
}

int cln_file_try(const char *path, cln_error *err)
{
    struct stat st;
    cln_writer w;
    int rc = cln_writer_open(&w, path, err);

    if (rc == 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        rc = cln_file_error(err, "cannot write", path, EISDIR);
    cln_writer_close(&w, CLN_ERR_IO, NULL); /* takes the temporary back */
    return rc;
}

/* ---- appending ------------------------------------------------------------------------------- */

static int write_fully(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t step = write(fd, bytes, n);
        if (step < 0 && errno == EINTR)
            continue;
        if (step < 0)
            return errno;
        bytes += step;
        n -= (size_t)step;
    }
    return 0;
}

int cln_file_append_line(const char *path, const char *line, cln_error *err)
{
    size_t n = strlen(line);
    char *text = malloc(n + 2);

    if (text == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", path);
    memcpy(text, line, n + 1);
    text[n++] = '\n';

    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    int code = fd < 0 || end < 0 ? errno : write_fully(fd, text, n);
    if (code == 0 && fsync(fd) != 0 && errno != EINVAL) /* EINVAL: a pipe or the like */
        code = errno;
    if (code != 0 && end >= 0 && ftruncate(fd, end) != 0)
        code = errno;
    if (fd >= 0 && close(fd) != 0 && code == 0)
        code = errno;
    free(text);
    return code == 0 ? 0 : cln_file_error(err, "cannot append to", path, code);
}

/* ---- hashes ---------------------------------------------------------------------------------- */

int cln_sha256_hex(const void *bytes, size_t n, char hex[CLN_SHA256_HEX], cln_error *err)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    if (EVP_Digest(bytes, n, hash, &length, EVP_sha256(), NULL) != 1 || length != 32)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "libcrypto cannot compute a SHA-256");
    for (size_t i = 0; i < length; i++) {
        hex[2 * i] = digits[hash[i] >> 4];
        hex[2 * i + 1] = digits[hash[i] & 15];
    }
    hex[CLN_SHA256_HEX - 1] = '\0';
    return 0;
}
