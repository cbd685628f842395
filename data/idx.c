/* The MNIST file format (IDX), http://yann.lecun.com/exdb/mnist: a big-endian header, then bytes.
 *   images  0x00000803, count, rows, columns, then count x rows x columns bytes
 *   labels  0x00000801, count, then count bytes */
#include "reader.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_LABELS = 0x801, MAGIC_IMAGES = 0x803, PIECE = 16 << 20 /* bytes that memory is made for at a time */ };

static const char *const SETS[2] = {"train", "t10k"};

typedef struct idx_file {
    cln_source *source;
    char path[CLN_DATA_MAX_PATH];
} idx_file;

/* The path of "train-images-idx3-ubyte", plain, with a dot as some unpackers write it, or gzip. */
static bool find(char path[CLN_DATA_MAX_PATH], const char *dir, const char *set, const char *kind)
{
    int dims = kind[0] == 'i' ? 3 : 1;
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%s%sidx%d-ubyte%s", set, kind, i % 2 ? "." : "-", dims,
                 i < 2 ? "" : ".gz");
        if (!cln_data_join(path, dir, name, NULL) && cln_data_is_file(path))
            return true;
    }
    return false;
}

bool cln_idx_is_folder(const char *dir)
{
    char path[CLN_DATA_MAX_PATH];
    for (int i = 0; i < 2; i++)
        if (find(path, dir, SETS[i], "images") || find(path, dir, SETS[i], "labels"))
            return true;
    return false;
}

static int open_idx(idx_file *f, const char *dir, const char *set, const char *kind, cln_error *err)
{
    if (!find(f->path, dir, set, kind))
        return CLN_FAIL(
            err, CLN_ERR_IO,
            "%s: %s-%s-idx%d-ubyte[.gz] is missing: expected images and labels of train and "
            "t10k",
            dir, set, kind, kind[0] == 'i' ? 3 : 1);
    return cln_source_open(f->path, &f->source, err);
}

/* Bytes got … end of the n bytes of the `what`. */
static int read_bytes(idx_file *f, uint8_t *out, size_t got, size_t end, size_t n, const char *what,
                      cln_error *err)
{
    while (got < end) {
        long k = cln_source_read(f->source, out + got, end - got, err);
        if (k < 0)
            return (int)k;
        if (!k)
            return CLN_FAIL(err, CLN_ERR_DATA, "%s: ends after %zu of %zu bytes of %s: truncated",
                            f->path, got, n, what);
        got += (size_t)k;
    }
    return CLN_OK;
}

/* All n bytes, into memory that grows with what is there, so that a size which is not true costs none. *out is
 * the caller's, also on failure. */
static int read_growing(idx_file *f, uint8_t **out, size_t n, const char *what, cln_error *err)
{
    int rc = CLN_OK;
    for (size_t got = 0, k; !rc && got < n; got += k) {
        k = n - got < PIECE ? n - got : PIECE;
        uint8_t *grown = realloc(*out, got + k);
        if (!grown)
            return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory for the %zu bytes of %s", n, f->path);
        *out = grown;
        rc = read_bytes(f, grown, got, got + k, n, what, err);
    }
    return rc;
}

/* Nothing may follow; the read that finds the end also verifies gzip's checksum. */
static int read_end(idx_file *f, cln_error *err)
{
    uint8_t byte;
    long k = cln_source_read(f->source, &byte, 1, err);
    if (k > 0)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: longer than its header says: damaged", f->path);
    return (int)k;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int read_images(idx_file *f, cln_dataset *d, bool test, cln_error *err)
{
    uint8_t head[16];
    int rc = read_bytes(f, head, 0, sizeof head, sizeof head, "header", err);
    if (rc)
        return rc;
    uint32_t n = big_endian(head + 4), h = big_endian(head + 8), w = big_endian(head + 12);
    if (big_endian(head) != MAGIC_IMAGES)
        return CLN_FAIL(err, CLN_ERR_DATA,
                        "%s: begins with 0x%08x, expected 0x%08x (IDX images of bytes)", f->path,
                        big_endian(head), MAGIC_IMAGES);
    if (!n || n > CLN_DATA_MAX_RECORDS - d->n_train || !h || !w || h > CLN_DATA_MAX_SIDE ||
        w > CLN_DATA_MAX_SIDE || (n + (uint64_t)d->n_train) * h * w > CLN_DATA_MAX_BYTES)
        return CLN_FAIL(
            err, CLN_ERR_DATA,
            "%s: %u images of %ux%u: expected 1 to %d images (train and t10k together), 1 to "
            "%d pixels a side, 2 GiB at most",
            f->path, n, h, w, CLN_DATA_MAX_RECORDS, CLN_DATA_MAX_SIDE);
    if (test && ((int)h != d->h || (int)w != d->w))
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: images of %ux%u, but the training images are %dx%d",
                        f->path, h, w, d->h, d->w);
    size_t bytes = (size_t)n * h * w;
    d->c = 1;
    d->h = (int)h;
    d->w = (int)w;
    *(test ? &d->n_test : &d->n_train) = n;
    rc = read_growing(f, test ? &d->test_x : &d->train_x, bytes, "images", err);
    return rc ? rc : read_end(f, err);
}

static int read_labels(idx_file *f, cln_dataset *d, bool test, cln_error *err)
{
    uint8_t head[8];
    size_t n = test ? d->n_test : d->n_train;
    int rc = read_bytes(f, head, 0, sizeof head, sizeof head, "header", err);
    if (rc)
        return rc;
    if (big_endian(head) != MAGIC_LABELS)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: begins with 0x%08x, expected 0x%08x (IDX labels)",
                        f->path, big_endian(head), MAGIC_LABELS);
    if (big_endian(head + 4) != n)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: %u labels, but there are %zu images", f->path,
                        big_endian(head + 4), n);
    rc = read_growing(f, test ? &d->test_y : &d->train_y, n, "labels", err);
    return rc ? rc : read_end(f, err);
}

/* The format does not say how many classes there are: the training labels do, and they must fill
 * 1 … the largest without a gap (EMNIST's letters begin at 1), so that a stray byte shows. */
static int check_labels(cln_dataset *d, const char *dir, cln_error *err)
{
    size_t count[256] = {0};
    int most = 0;
    for (size_t i = 0; i < d->n_train; i++) {
        count[d->train_y[i]]++;
        most = d->train_y[i] > most ? d->train_y[i] : most;
    }
    for (int k = 1; k < most; k++)
        if (!count[k])
            return CLN_FAIL(
                err, CLN_ERR_DATA,
                "%s: a training label is %d, but none is %d: labels must not skip a class "
                "(damaged?)",
                dir, most, k);
    if (most < 1)
        return CLN_FAIL(err, CLN_ERR_DATA,
                        "%s: all training labels are 0: expected two classes or more", dir);
    for (size_t i = 0; i < d->n_test; i++)
        if (d->test_y[i] > most)
            return CLN_FAIL(err, CLN_ERR_DATA,
                            "%s: t10k label %zu is %d, expected 0 to %d as in training", dir, i,
                            d->test_y[i], most);
    return cln_data_names_count(d, most + 1, err);
}

static void name_after_folder(cln_dataset *d, const char *dir)
{
    char full[PATH_MAX];
    const char *path = realpath(dir, full) ? full : dir, *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    snprintf(d->name, sizeof d->name, "%.63s", *base ? base : "idx");
}

int cln_idx_read_folder(const char *dir, cln_dataset *d, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; !rc && i < 4; i++) {
        bool test = i >= 2, labels = i % 2;
        idx_file f = {0};
        rc = open_idx(&f, dir, SETS[test], labels ? "labels" : "images", err);
        if (!rc)
            rc = labels ? read_labels(&f, d, test, err) : read_images(&f, d, test, err);
        cln_source_free(f.source);
    }
    name_after_folder(d, dir);
    return rc ? rc : check_labels(d, dir, err);
}
