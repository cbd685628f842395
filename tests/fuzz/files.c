#include "fuzz.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAR_BLOCK = 512, TAR_SIZE = 124, TAR_SIZE_DIGITS = 11, TAR_SUM = 148, TAR_SUM_BYTES = 8 };

static char folder[256];

static void remove_folder(void)
{
    (void)rmdir(folder); /* every input has removed its files */
}

const char *fuzz_path(const char *name)
{
    static char paths[4][512];
    static int next;
    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/clnorm-fuzz-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        FUZZ_MUST(mkdtemp(folder) != NULL);
        atexit(remove_folder);
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *fuzz_put(const char *name, const uint8_t *bytes, size_t n)
{
    const char *path = fuzz_path(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_MUST(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && close(fd) == 0);
    return path;
}

const char *fuzz_put_gzip(const char *name, const uint8_t *bytes, size_t n)
{
    const char *path = fuzz_path(name);
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    FUZZ_MUST(a && e && !archive_write_set_format_raw(a) && !archive_write_add_filter_gzip(a));
    FUZZ_MUST(!archive_write_set_filter_option(a, "gzip", "compression-level", "1"));
    FUZZ_MUST(!archive_write_open_filename(a, path));
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_pathname(e, "data");
    FUZZ_MUST(!archive_write_header(a, e) && archive_write_data(a, bytes, n) == (la_ssize_t)n);
    archive_entry_free(e);
    FUZZ_MUST(!archive_write_close(a));
    archive_write_free(a);
    return path;
}

void fuzz_drop(const char *name)
{
    (void)unlink(fuzz_path(name));
}

bool fuzz_split(const uint8_t *bytes, size_t n, fuzz_piece *out, int count)
{
    const size_t head = 2 * (size_t)count;
    if (n < head)
        return false;
    size_t at = head;
    for (int i = 0; i < count; i++) {
        const size_t length = bytes[2 * i] | (size_t)bytes[2 * i + 1] << 8;
        const size_t left = n - at;
        out[i] = (fuzz_piece){bytes + at, length < left ? length : left, length != 0xffff};
        if (!out[i].there)
            out[i].n = 0;
        else if (i == count - 1)
            out[i].n = left;
        at += out[i].n;
    }
    return true;
}

void fuzz_mend_tar(uint8_t *bytes, size_t n)
{
    for (size_t at = 0; at + TAR_BLOCK <= n;) {
        uint8_t *header = bytes + at;
        size_t sum = 0, size = 0;
        char digits[TAR_SUM_BYTES + 1];
        memset(header + TAR_SUM, ' ', TAR_SUM_BYTES);
        for (int i = 0; i < TAR_BLOCK; i++)
            sum += header[i];
        if (sum == (size_t)TAR_SUM_BYTES * ' ') { /* a block of zeros: the end */
            memset(header + TAR_SUM, 0, TAR_SUM_BYTES);
            return;
        }
        snprintf(digits, sizeof digits, "%06zo", sum);
        memcpy(header + TAR_SUM, digits, 7); /* with its NUL; then a blank */
        for (int i = 0;
             i < TAR_SIZE_DIGITS && header[TAR_SIZE + i] >= '0' && header[TAR_SIZE + i] <= '7'; i++)
            size = size * 8 + (header[TAR_SIZE + i] - '0');
        if (size > n)
            return;
        at += TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    }
}
