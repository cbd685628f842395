/* CIFAR-10's binary version, https://www.cs.toronto.edu/~kriz/cifar.html: data_batch_1.bin …
 * data_batch_5.bin and test_batch.bin, each a row of records: a label byte and 3,072 image bytes
 * (R, G and B planes of 32 x 32). One reader takes its batches from a folder or from a tar stream.
 */
#include "reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SIDE = 32,
    IMAGE = 3 * SIDE * SIDE,
    RECORD = 1 + IMAGE,
    TRAIN_PARTS = 5,
    TEST = TRAIN_PARTS, /* index of the test batch */
    PARTS,
    META = PARTS, /* index of the class names */
    FILES,
    CHUNK = 64,          /* records read at a time */
    PIECE = 4096,        /* records that memory is made for at a time */
    META_MAX = 64 << 10, /* bytes */
    MAX_ENTRIES = 1000,
    BLOCK = 128 << 10,
    DRAIN_MAX = 16 << 20 /* bytes that may follow the archive's end inside the gzip stream */
};
#define MAX_UNPACKED ((uint64_t)4 << 30)

static const char *const FILE_NAMES[FILES] = {
    "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
    "data_batch_5.bin", "test_batch.bin",   "batches.meta.txt",
};

/* One file, wherever it is: read gives up to n bytes, 0 at its end, or an error code. */
typedef struct stream {
    long (*read)(struct stream *s, void *buf, size_t n, cln_error *err);
    void *handle;     /* FILE* or struct archive* */
    const char *from; /* the folder or archive, for messages */
    const char *name;
    uint64_t size;
    bool residuals; /* of a batch: its images are to be restored */
} stream;

typedef struct build {
    cln_dataset *d;
    bool seen[FILES];
    size_t count[PARTS];
} build;

static int read_full(stream *s, void *buf, size_t n, cln_error *err)
{
    size_t got = 0;
    while (got < n) {
        long k = s->read(s, (char *)buf + got, n - got, err);
        if (k < 0)
            return (int)k;
        if (!k)
            return CLN_FAIL(err, CLN_ERR_DATA,
                            "%s: %s ends early: damaged or incomplete" CLN_DATA_HINT, s->from,
                            s->name);
        got += (size_t)k;
    }
    return CLN_OK;
}

/* Opens a gap of n items at `at` in an array of `total`. A large realloc moves pages, not bytes, so
 * the peak stays at the size of the data set, and nothing moves when batches come in order. */
static int open_gap(uint8_t **data, size_t item, size_t total, size_t at, size_t n)
{
    uint8_t *p = realloc(*data, (total + n) * item);
    if (!p)
        return CLN_ERR_MEMORY;
    *data = p;
    memmove(p + (at + n) * item, p + at * item, (total - at) * item);
    return CLN_OK;
}

static int split_records(stream *s, uint8_t *x, uint8_t *y, size_t n, cln_error *err)
{
    int rc = CLN_OK;
    uint8_t *chunk = malloc((size_t)CHUNK * RECORD);
    if (!chunk)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory while reading %s", s->name);
    for (size_t i = 0; !rc && i < n;) {
        size_t k = n - i < CHUNK ? n - i : CHUNK;
        rc = read_full(s, chunk, k * RECORD, err);
        for (size_t j = 0; !rc && j < k; j++) {
            y[i + j] = chunk[j * RECORD];
            memcpy(x + (i + j) * IMAGE, chunk + j * RECORD + 1, IMAGE);
            if (s->residuals)
                cln_residual_restore(x + (i + j) * IMAGE);
        }
        i += k;
    }
    free(chunk);
    return rc;
}

static int read_batch(build *b, int part, stream *s, cln_error *err)
{
    cln_dataset *d = b->d;
    uint64_t room = CLN_DATA_MAX_RECORDS - d->n_train - d->n_test;
    if (!s->size || s->size % RECORD)
        return CLN_FAIL(err, CLN_ERR_DATA,
                        "%s: %s has %llu bytes, expected whole records of %d (a label, 32x32 RGB): "
                        "damaged or another format" CLN_DATA_HINT,
                        s->from, s->name, (unsigned long long)s->size, RECORD);
    if (s->size / RECORD > room || (d->n_train + d->n_test) * IMAGE + s->size > CLN_DATA_MAX_BYTES)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: %s makes the data larger than %d images or 2 GiB",
                        s->from, s->name, CLN_DATA_MAX_RECORDS);

    size_t n = (size_t)(s->size / RECORD), at = 0;
    bool test = part == TEST;
    uint8_t **x = test ? &d->test_x : &d->train_x, **y = test ? &d->test_y : &d->train_y;
    size_t *total = test ? &d->n_test : &d->n_train;
    int rc = CLN_OK;
    for (int i = 0; !test && i < part; i++)
        at += b->count[i];
    /* Piece by piece, so that a size which is not true costs no memory. */
    for (size_t got = 0, k; !rc && got < n; got += k, at += k) {
        k = n - got < PIECE ? n - got : PIECE;
        if (open_gap(x, IMAGE, *total, at, k) || open_gap(y, 1, *total, at, k))
            return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory for %zu images of %s", *total + n,
                            s->from);
        *total += k;
        b->count[part] += k;
        rc = split_records(s, *x + at * IMAGE, *y + at, k, err);
    }
    return rc;
}

static int read_meta(build *b, stream *s, cln_error *err)
{
    char *text = NULL, where[512];
    int rc;
    if (s->size > META_MAX)
        return CLN_FAIL(err, CLN_ERR_DATA,
                        "%s: %s has %llu bytes, expected a short list of class names", s->from,
                        s->name, (unsigned long long)s->size);
    text = malloc((size_t)s->size + 1);
    if (!text)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory while reading %s", s->name);
    rc = read_full(s, text, (size_t)s->size, err);
    snprintf(where, sizeof where, "%.400s: %s", s->from, s->name);
    if (!rc)
        rc = cln_data_names_parse(b->d, text, (size_t)s->size, where, err);
    free(text);
    return rc;
}

static int read_file(build *b, int file, stream *s, cln_error *err)
{
    if (b->seen[file])
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: holds %s twice", s->from, s->name);
    b->seen[file] = true;
    return file == META ? read_meta(b, s, err) : read_batch(b, file, s, err);
}

static int check_labels(const build *b, const char *from, cln_error *err)
{
    const uint8_t *y = b->d->train_y;
    for (int part = 0; part < PARTS; part++) {
        if (part == TEST)
            y = b->d->test_y;
        for (size_t i = 0; i < b->count[part]; i++)
            if (y[i] >= b->d->classes)
                return CLN_FAIL(
                    err, CLN_ERR_DATA,
                    "%s: %s: record %zu has label %d, expected 0 to %d: damaged or another "
                    "format" CLN_DATA_HINT,
                    from, FILE_NAMES[part], i, y[i], b->d->classes - 1);
        y += b->count[part];
    }
    return CLN_OK;
}

static int finish(build *b, const char *from, cln_error *err)
{
    cln_dataset *d = b->d;
    bool any = false;
    for (int i = 0; i < PARTS; i++)
        any = any || b->seen[i];
    if (!any)
        return CLN_FAIL(err, CLN_ERR_DATA,
                        "%s: holds no data_batch_1.bin … test_batch.bin: not CIFAR-10's binary "
                        "version" CLN_DATA_HINT,
                        from);
    for (int i = 0; i < PARTS; i++)
        if (!b->seen[i])
            return CLN_FAIL(err, CLN_ERR_IO,
                            "%s: %s is missing: expected data_batch_1.bin … data_batch_5.bin and "
                            "test_batch.bin" CLN_DATA_HINT,
                            from, FILE_NAMES[i]);
    if (!b->seen[META]) {
        int rc = cln_data_names_count(d, 10, err);
        if (rc)
            return rc;
    }
    d->c = 3;
    d->h = d->w = SIDE;
    snprintf(d->name, sizeof d->name, "cifar10");
    return check_labels(b, from, err);
}

/* ---- a folder --------------------------------------------------------------------------- */

static long stdio_read(stream *s, void *buf, size_t n, cln_error *err)
{
    size_t k = fread(buf, 1, n, s->handle);
    if (!k && ferror((FILE *)s->handle))
        return CLN_FAIL(err, CLN_ERR_IO, "%s/%s: %s", s->from, s->name, strerror(errno));
    return (long)k;
}

bool cln_cifar_is_folder(const char *dir)
{
    char path[CLN_DATA_MAX_PATH];
    for (int i = 0; i < PARTS; i++)
        if (!cln_data_join(path, dir, FILE_NAMES[i], NULL) && cln_data_is_file(path))
            return true;
    return false;
}

static int read_folder_file(build *b, const char *dir, int file, cln_error *err)
{
    char path[CLN_DATA_MAX_PATH];
    struct stat st;
    int rc = cln_data_join(path, dir, FILE_NAMES[file], err);
    if (rc)
        return rc;
    if (stat(path, &st))
        return errno == ENOENT ? CLN_OK /* finish says which one is missing */
                               : CLN_FAIL(err, CLN_ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return CLN_FAIL(err, CLN_ERR_IO, "%s: not a readable file", path);
    FILE *f = fopen(path, "rb");
    if (!f)
        return CLN_FAIL(err, CLN_ERR_IO, "%s: %s", path, strerror(errno));
    stream s = {stdio_read, f, dir, FILE_NAMES[file], (uint64_t)st.st_size, false};
    rc = read_file(b, file, &s, err);
    fclose(f);
    return rc;
}

int cln_cifar_read_folder(const char *dir, cln_dataset *d, cln_error *err)
{
    build b = {.d = d};
    int rc = CLN_OK;
    for (int i = 0; !rc && i < FILES; i++)
        rc = read_folder_file(&b, dir, i, err);
    return rc ? rc : finish(&b, dir, err);
}

/* ---- a tar archive ---------------------------------------------------------------------- */

static long archive_read_entry(stream *s, void *buf, size_t n, cln_error *err)
{
    la_ssize_t k = archive_read_data(s->handle, buf, n);
    if (k < 0)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: %s cannot be unpacked: %s: damaged" CLN_DATA_HINT,
                        s->from, s->name, archive_error_string(s->handle));
    return (long)k;
}

/* The index of the entry's file, -1 for others. "data_batch_1.bin.med" is a batch of residuals. */
static int file_index(const char *path, bool *residuals)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    for (int i = 0; i < FILES; i++) {
        size_t n = strlen(FILE_NAMES[i]);
        if (strncmp(base, FILE_NAMES[i], n) != 0)
            continue;
        *residuals = i < PARTS && !strcmp(base + n, ".med");
        if (!base[n] || *residuals)
            return i;
    }
    return -1;
}

static int read_entries(struct archive *a, build *b, const char *from, cln_error *err)
{
    uint64_t total = 0;
    for (int n = 0; n <= MAX_ENTRIES; n++) {
        struct archive_entry *entry;
        int status = archive_read_next_header(a, &entry);
        if (status == ARCHIVE_EOF)
            return CLN_OK;
        if (status < ARCHIVE_WARN) {
            const char *why = archive_error_string(a);
            return CLN_FAIL(
                err, CLN_ERR_DATA,
                "%s: not a whole tar archive (%s): damaged or another format" CLN_DATA_HINT, from,
                why ? why : "unreadable");
        }
        /* Sizes are bounded before anything is unpacked, wanted or not. */
        uint64_t size = (uint64_t)archive_entry_size(entry);
        if (size > MAX_UNPACKED || (total += size) > MAX_UNPACKED)
            return CLN_FAIL(err, CLN_ERR_DATA, "%s: unpacks to more than 4 GiB: not CIFAR-10",
                            from);
        const char *path = archive_entry_pathname(entry);
        bool regular = path && archive_entry_filetype(entry) == AE_IFREG, residuals = false;
        int file = regular ? file_index(path, &residuals) : -1;
        if (file < 0)
            continue;
        if (archive_entry_sparse_count(entry) > 0) /* zeros without end from no bytes at all */
            return CLN_FAIL(err, CLN_ERR_DATA, "%s: %s is stored with holes: not CIFAR-10", from,
                            FILE_NAMES[file]);
        stream s = {archive_read_entry, a, from, FILE_NAMES[file], size, residuals};
        int rc = read_file(b, file, &s, err);
        if (rc)
            return rc;
    }
    return CLN_FAIL(err, CLN_ERR_DATA, "%s: holds more than %d entries: not CIFAR-10", from,
                    MAX_ENTRIES);
}

static struct archive *new_reader(void)
{
    /* Named filters only: libarchive's "all" would start external programs for some formats. */
    struct archive *a = archive_read_new();
    if (a && (archive_read_support_format_tar(a) || archive_read_support_filter_xz(a) ||
              archive_read_support_filter_bzip2(a))) {
        archive_read_free(a);
        return NULL;
    }
    return a;
}

typedef struct gunzip {
    cln_source *source;
    cln_error err;
} gunzip;

static la_ssize_t gunzip_read(struct archive *a, void *user, const void **out)
{
    gunzip *g = user;
    size_t n = 0;
    if (cln_source_block(g->source, out, &n, &g->err)) {
        archive_set_error(a, EIO, "%s", g->err.text);
        return -1;
    }
    return (la_ssize_t)n;
}

/* tar stops at its end mark, before gzip's checksum: only reading on to the end verifies it. */
static int drain(cln_source *s, const char *from, cln_error *err)
{
    const void *p;
    size_t n = 0, total = 0;
    do {
        int rc = cln_source_block(s, &p, &n, err);
        if (rc)
            return rc;
        total += n;
    } while (n && total <= DRAIN_MAX);
    if (n)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: other data follows the tar archive", from);
    return CLN_OK;
}

/* gzip goes through cln_source, which verifies its checksum; libarchive verifies the other
 * filters'. */
int cln_cifar_read_archive(const char *path, cln_dataset *d, cln_error *err)
{
    build b = {.d = d};
    gunzip g = {0};
    struct archive *a = NULL;
    int rc = cln_source_open(path, &g.source, err);
    if (rc)
        return rc;
    a = new_reader();
    if (!a) {
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory to read %s", path);
        goto out;
    }
    archive_read_support_filter_zstd(a); /* absent from some builds: then zstd is a foreign file */
    bool gzip = cln_source_is_gzip(g.source);
    int status = gzip ? archive_read_open(a, &g, NULL, gunzip_read, NULL)
                      : archive_read_open_filename(a, path, BLOCK);
    if (status) {
        const char *why = archive_error_string(a);
        rc = g.err.code ? CLN_FAIL(err, g.err.code, "%s", g.err.text)
                        : CLN_FAIL(err, CLN_ERR_DATA, "%s: not a tar archive (%s)" CLN_DATA_HINT,
                                   path, why ? why : "unreadable");
        goto out;
    }
    rc = read_entries(a, &b, path, err);
    if (rc && g.err.code) /* what gzip says is nearer to the cause than what tar makes of it */
        rc = CLN_FAIL(err, g.err.code, "%s", g.err.text);
    if (!rc && gzip)
        rc = drain(g.source, path, err);
    if (!rc)
        rc = finish(&b, path, err);
out:
    archive_read_free(a);
    cln_source_free(g.source);
    return rc;
}

int cln_cifar_read_memory(const void *archive, size_t bytes, cln_dataset *d, cln_error *err)
{
    static const char from[] = "bundled sample";
    build b = {.d = d};
    struct archive *a = new_reader();
    int rc;
    if (!a)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory to read the %s", from);
    if (archive_read_support_filter_gzip(a) || archive_read_open_memory(a, archive, bytes))
        rc = CLN_FAIL(err, CLN_ERR_DATA, "%s: %s", from, archive_error_string(a));
    else
        rc = read_entries(a, &b, from, err);
    archive_read_free(a);
    return rc ? rc : finish(&b, from, err);
}
