#include "cache.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIGEST = 32, PATH_SIZE = 4096, MAX_FILE = 1 << 30 };

static const char format_name[8] = "clnorm1\n"; /* change it when the file's layout changes */

/* A file: this header, then `size` bytes. Lives and dies on one machine: its byte order is fine. */
typedef struct header {
    char magic[8];
    uint64_t size;
    unsigned char digest[DIGEST]; /* SHA-256 of the bytes */
} header;

bool cln_cache_key(const char *const *parts, size_t n, char key[CLN_CACHE_KEY])
{
    unsigned char digest[DIGEST];
    bool ok = false;
    key[0] = '\0';
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) ||
        !EVP_DigestUpdate(ctx, format_name, sizeof format_name))
        goto exit;
    for (size_t i = 0; i < n; i++) {
        const uint64_t length = strlen(parts[i]);
        if (!EVP_DigestUpdate(ctx, &length, sizeof length) ||
            !EVP_DigestUpdate(ctx, parts[i], (size_t)length))
            goto exit;
    }
    if (!EVP_DigestFinal_ex(ctx, digest, NULL))
        goto exit;
    for (size_t i = 0; i < DIGEST; i++)
        snprintf(key + 2 * i, 3, "%02x", digest[i]);
    ok = true;
exit:
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool sha256(const unsigned char *bytes, size_t size, unsigned char digest[DIGEST])
{
    return EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) == 1;
}

bool cln_cache_dir(char *out, size_t size)
{
    const char *dir = getenv("CLNORM_CACHE_DIR"), *tail = "";
    if (!dir || !*dir) {
        dir = getenv("XDG_CACHE_HOME");
        tail = "/clnorm";
        if (dir && *dir != '/') /* which its specification says to ignore */
            dir = NULL;
    }
    if (!dir || !*dir) {
        dir = getenv("HOME");
        tail = "/.cache/clnorm";
    }
    if (!dir || !*dir)
        return false;
    int n = snprintf(out, size, "%s%s", dir, tail);
    return n > 0 && (size_t)n < size;
}

static bool make_dirs(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int failed = mkdir(path, 0700) && errno != EEXIST;
        *p = '/';
        if (failed)
            return false;
    }
    return !mkdir(path, 0700) || errno == EEXIST;
}

bool cln_cache_load(const char *key, unsigned char **bytes, size_t *size)
{
    char dir[PATH_SIZE - 128], path[PATH_SIZE];
    unsigned char digest[DIGEST], *data = NULL;
    header h;
    struct stat st;
    bool ok = false;

    *bytes = NULL;
    *size = 0;
    if (!*key || !cln_cache_dir(dir, sizeof dir))
        return false;
    snprintf(path, sizeof path, "%s/%s.bin", dir, key);
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    if (fread(&h, sizeof h, 1, f) != 1 || memcmp(h.magic, format_name, sizeof h.magic) != 0)
        goto exit;
    if (fstat(fileno(f), &st) || h.size == 0 || h.size > MAX_FILE ||
        (uint64_t)st.st_size != sizeof h + h.size)
        goto exit;
    data = malloc((size_t)h.size);
    if (!data || fread(data, 1, (size_t)h.size, f) != h.size)
        goto exit;
    if (!sha256(data, (size_t)h.size, digest) || memcmp(digest, h.digest, DIGEST) != 0)
        goto exit;
    *bytes = data;
    *size = (size_t)h.size;
    data = NULL;
    ok = true;
exit:
    free(data);
    fclose(f);
    return ok;
}

bool cln_cache_store(const char *key, const unsigned char *bytes, size_t size)
{
    char dir[PATH_SIZE - 128], path[PATH_SIZE], temporary[PATH_SIZE];
    header h = {.size = size};
    if (!*key || size == 0 || !cln_cache_dir(dir, sizeof dir) || !make_dirs(dir))
        return false;
    memcpy(h.magic, format_name, sizeof h.magic);
    if (!sha256(bytes, size, h.digest))
        return false;

    snprintf(path, sizeof path, "%s/%s.bin", dir, key);
    snprintf(temporary, sizeof temporary, "%s/%.16s.XXXXXX", dir, key);
    int fd = mkstemp(temporary);
    if (fd < 0)
        return false;
    FILE *f = fdopen(fd, "wb");
    if (!f) {
        close(fd);
        unlink(temporary);
        return false;
    }
    bool ok = fwrite(&h, sizeof h, 1, f) == 1 && fwrite(bytes, 1, size, f) == size;
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(temporary, path) == 0;
    if (!ok)
        unlink(temporary);
    return ok;
}
