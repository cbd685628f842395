#include "reader.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char FOLDER_NAME[] = "cifar-10-batches-bin";

bool cln_data_is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

bool cln_data_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int cln_data_join(char out[CLN_DATA_MAX_PATH], const char *dir, const char *name, cln_error *err)
{
    size_t n = strlen(dir);
    const char *slash = n && dir[n - 1] == '/' ? "" : "/";
    int len = snprintf(out, CLN_DATA_MAX_PATH, "%s%s%s", dir, slash, name);
    if (len < 0 || len >= CLN_DATA_MAX_PATH)
        return CLN_FAIL(err, CLN_ERR_IO, "%.80s…: the path is too long", dir);
    return CLN_OK;
}

int cln_data_cache_dir(char out[CLN_DATA_MAX_PATH], cln_error *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        return cln_data_join(out, xdg, "clnorm/data", err);
    if (home && home[0] == '/')
        return cln_data_join(out, home, ".cache/clnorm/data", err);
    return CLN_FAIL(
        err, CLN_ERR_IO,
        "no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path; name a folder");
}

static int add_name(cln_dataset *d, const char *text, size_t n, cln_error *err)
{
    char *name = malloc(n + 1);
    if (!name)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory for the class names");
    memcpy(name, text, n);
    name[n] = '\0';
    d->class_names[d->classes++] = name;
    return CLN_OK;
}

static int alloc_names(cln_dataset *d, cln_error *err)
{
    d->class_names = calloc(CLN_DATA_MAX_CLASSES, sizeof *d->class_names);
    if (!d->class_names)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory for the class names");
    return CLN_OK;
}

int cln_data_names_count(cln_dataset *d, int classes, cln_error *err)
{
    int rc = alloc_names(d, err);
    for (int i = 0; !rc && i < classes; i++) {
        char digits[16];
        int n = snprintf(digits, sizeof digits, "%d", i);
        rc = add_name(d, digits, (size_t)n, err);
    }
    return rc;
}

/* Names reach terminals and pictures: control characters have no place in them. */
static bool is_clean(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

int cln_data_names_parse(cln_dataset *d, const char *text, size_t bytes, const char *file,
                         cln_error *err)
{
    int rc = alloc_names(d, err);
    int line = 0;
    for (size_t at = 0; !rc && at < bytes; line++) {
        const char *begin = text + at, *end = memchr(begin, '\n', bytes - at);
        size_t n = end ? (size_t)(end - begin) : bytes - at;
        at += n + 1;
        if (n && begin[n - 1] == '\r')
            n--;
        if (!n)
            continue;
        if (n > 63 || !is_clean(begin, n))
            return CLN_FAIL(err, CLN_ERR_DATA,
                            "%s:%d: expected a class name of at most 63 characters", file,
                            line + 1);
        if (d->classes == CLN_DATA_MAX_CLASSES)
            return CLN_FAIL(err, CLN_ERR_DATA, "%s:%d: more than %d class names", file, line + 1,
                            CLN_DATA_MAX_CLASSES);
        rc = add_name(d, begin, n, err);
    }
    if (!rc && d->classes < 2)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: expected at least two class names, one a line",
                        file);
    return rc;
}

/* Exact integer sums of each channel; a plane is at most 2^18 bytes, so 32 bits hold its sum and
 * 64 its sum of squares with room for all images. */
static void measure(cln_dataset *d)
{
    size_t plane = (size_t)d->h * (size_t)d->w;
    for (int c = 0; c < d->c; c++) {
        uint64_t sum = 0, squares = 0;
        for (size_t i = 0; i < d->n_train; i++) {
            const uint8_t *x = d->train_x + (i * (size_t)d->c + (size_t)c) * plane;
            for (size_t at = 0; at < plane;) {
                size_t stop = at + 1024 < plane ? at + 1024 : plane;
                uint32_t s = 0, q = 0;
                for (; at < stop; at++) {
                    s += x[at];
                    q += (uint32_t)x[at] * x[at];
                }
                sum += s;
                squares += q;
            }
        }
        double n = (double)d->n_train * (double)plane;
        double mean = (double)sum / n;
        double var = (double)squares / n - mean * mean;
        d->mean[c] = (float)(mean / 255.0);
        d->std[c] = var > 1e-9 ? (float)(sqrt(var) / 255.0) : 1.0f;
    }
}

static int digest(cln_dataset *d, cln_error *err)
{
    size_t image = (size_t)d->c * (size_t)d->h * (size_t)d->w;
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    char head[128];
    int n = snprintf(head, sizeof head, "%d %d %d %d %zu %zu\n", d->c, d->h, d->w, d->classes,
                     d->n_train, d->n_test);

    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
        EVP_DigestUpdate(ctx, head, (size_t)n) && EVP_DigestUpdate(ctx, d->train_y, d->n_train) &&
        EVP_DigestUpdate(ctx, d->train_x, d->n_train * image) &&
        EVP_DigestUpdate(ctx, d->test_y, d->n_test) &&
        EVP_DigestUpdate(ctx, d->test_x, d->n_test * image) && EVP_DigestFinal_ex(ctx, md, &len);
    EVP_MD_CTX_free(ctx);
    if (!ok || len != 32)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "libcrypto cannot compute SHA-256");
    for (unsigned int i = 0; i < len; i++)
        snprintf(d->digest + 2 * i, 3, "%02x", md[i]);
    return CLN_OK;
}

static void set_source(cln_dataset *d, const char *path)
{
    char full[PATH_MAX];
    snprintf(d->source, sizeof d->source, "%s", realpath(path, full) ? full : path);
}

static int read_sample(cln_dataset *d, cln_error *err)
{
    const void *bytes;
    size_t size;
    cln_sample_bytes(&bytes, &size);
    int rc = cln_cifar_read_memory(bytes, size, d, err);
    snprintf(d->name, sizeof d->name, "cifar10-sample");
    snprintf(d->source, sizeof d->source, "bundled sample");
    d->sample = true;
    return rc;
}

/* 1: `dir` or what it holds was recognised and read (or not: *rc); 0: nothing known is there. */
static int read_dir(const char *dir, cln_dataset *d, int *rc, cln_error *err)
{
    char path[CLN_DATA_MAX_PATH];
    if (cln_cifar_is_folder(dir)) {
        *rc = cln_cifar_read_folder(dir, d, err);
        set_source(d, dir);
        return 1;
    }
    if (!cln_data_join(path, dir, FOLDER_NAME, NULL) && cln_cifar_is_folder(path)) {
        *rc = cln_cifar_read_folder(path, d, err);
        set_source(d, path);
        return 1;
    }
    if (!cln_data_join(path, dir, CLN_DATA_ARCHIVE, NULL) && cln_data_is_file(path)) {
        *rc = cln_cifar_read_archive(path, d, err);
        set_source(d, path);
        return 1;
    }
    if (cln_idx_is_folder(dir)) {
        *rc = cln_idx_read_folder(dir, d, err);
        set_source(d, dir);
        return 1;
    }
    return 0;
}

static int read_path(const char *path, cln_dataset *d, cln_error *err)
{
    struct stat st;
    int rc = CLN_OK;
    if (stat(path, &st))
        return CLN_FAIL(err, CLN_ERR_IO, "%s: %s" CLN_DATA_HINT, path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        if (read_dir(path, d, &rc, err))
            return rc;
        return CLN_FAIL(
            err, CLN_ERR_IO,
            "%s: no data set in this folder: expected data_batch_1.bin … test_batch.bin, "
            "%s or train-images-idx3-ubyte[.gz] and its three fellows" CLN_DATA_HINT,
            path, CLN_DATA_ARCHIVE);
    }
    if (!S_ISREG(st.st_mode))
        return CLN_FAIL(err, CLN_ERR_IO, "%s: neither a folder nor a file", path);
    rc = cln_cifar_read_archive(path, d, err);
    set_source(d, path);
    return rc;
}

static int read_default(cln_dataset *d, cln_error *err)
{
    const char *env = getenv("CLNORM_DATA");
    if (env && *env && strcmp(env, "sample") != 0) {
        int rc = read_path(env, d, err);
        if (rc && err)
            CLN_FAIL(err, rc, "$CLNORM_DATA: %s", err->text);
        return rc;
    }
    if (!env || !*env) {
        char cache[CLN_DATA_MAX_PATH];
        int rc = CLN_OK;
        if (!cln_data_cache_dir(cache, NULL) && read_dir(cache, d, &rc, err))
            return rc;
    }
    return read_sample(d, err);
}

int cln_dataset_open(const char *path, cln_dataset **out, cln_error *err)
{
    *out = NULL;
    cln_dataset *d = calloc(1, sizeof *d);
    if (!d)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory for a data set");
    int rc;
    if (!path)
        rc = read_default(d, err);
    else if (!strcmp(path, "sample"))
        rc = read_sample(d, err);
    else
        rc = read_path(path, d, err);
    if (!rc) {
        measure(d);
        rc = digest(d, err);
    }
    if (rc) {
        cln_dataset_free(d);
        return rc;
    }
    *out = d;
    return CLN_OK;
}

void cln_dataset_free(cln_dataset *d)
{
    if (!d)
        return;
    for (int i = 0; d->class_names && i < d->classes; i++)
        free(d->class_names[i]);
    free(d->class_names);
    free(d->train_x);
    free(d->train_y);
    free(d->test_x);
    free(d->test_y);
    free(d);
}
