/* The bytes of a file that may be gzip, as a stream. libarchive unpacks; the checksum at a gzip
 * file's end, which libarchive passes over, is verified here: a damaged image is worse than an
 * error. */
#include "reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 << 10, TRAILER = 8, SLICES = 8 };

struct cln_source {
    struct archive *a;
    char path[CLN_DATA_MAX_PATH];
    bool gzip, ended;
    uint8_t trailer[TRAILER]; /* of a gzip file: CRC-32 and size, little-endian */
    uint32_t crc, size;       /* of what was read so far, modulo 2^32 */
    const uint8_t *block;     /* the rest of libarchive's last block */
    size_t left;
    uint32_t table[SLICES][256];
};

/* CRC-32 as in RFC 1952; eight bytes a step by eight tables, where table[k][v] is the effect of
 * byte v followed by k zero bytes. */
static void crc_init(uint32_t table[SLICES][256])
{
    for (uint32_t v = 0; v < 256; v++) {
        uint32_t c = v;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        table[0][v] = c;
    }
    for (int k = 1; k < SLICES; k++)
        for (int v = 0; v < 256; v++)
            table[k][v] = table[0][table[k - 1][v] & 0xff] ^ (table[k - 1][v] >> 8);
}

static uint32_t little_endian(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t crc_update(uint32_t t[SLICES][256], uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t a = crc ^ little_endian(p), b = little_endian(p + 4);
        crc = t[7][a & 0xff] ^ t[6][a >> 8 & 0xff] ^ t[5][a >> 16 & 0xff] ^ t[4][a >> 24] ^
              t[3][b & 0xff] ^ t[2][b >> 8 & 0xff] ^ t[1][b >> 16 & 0xff] ^ t[0][b >> 24];
    }
    for (; n; n--)
        crc = t[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return ~crc;
}

/* Looks at both ends of the file: is it gzip, and what does its trailer say? */
static int look(cln_source *s, cln_error *err)
{
    uint8_t head[2] = {0};
    FILE *f = fopen(s->path, "rb");
    if (!f)
        return CLN_FAIL(err, CLN_ERR_IO, "%s: %s", s->path, strerror(errno));
    s->gzip = fread(head, 1, 2, f) == 2 && head[0] == 0x1f && head[1] == 0x8b;
    bool ok = !ferror(f);
    if (ok && s->gzip)
        ok = !fseek(f, -TRAILER, SEEK_END) && fread(s->trailer, 1, TRAILER, f) == TRAILER;
    fclose(f);
    if (!ok)
        return CLN_FAIL(err, s->gzip ? CLN_ERR_DATA : CLN_ERR_IO, "%s: cannot be read: truncated",
                        s->path);
    return CLN_OK;
}

int cln_source_open(const char *path, cln_source **out, cln_error *err)
{
    struct archive_entry *entry;
    int rc = CLN_OK;
    *out = NULL;
    cln_source *s = calloc(1, sizeof *s);
    if (!s)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory to read %s", path);
    snprintf(s->path, sizeof s->path, "%s", path);
    crc_init(s->table);
    rc = look(s, err);
    if (rc)
        goto fail;
    s->a = archive_read_new();
    if (!s->a || archive_read_support_format_raw(s->a) || archive_read_support_format_empty(s->a) ||
        (s->gzip && archive_read_support_filter_gzip(s->a))) {
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory to read %s", path);
        goto fail;
    }
    int status = archive_read_open_filename(s->a, path, BLOCK);
    if (status == ARCHIVE_OK)
        status = archive_read_next_header(s->a, &entry);
    if (status != ARCHIVE_OK && status != ARCHIVE_EOF) {
        rc = CLN_FAIL(err, CLN_ERR_DATA, "%s: %s: truncated or damaged", path,
                      archive_error_string(s->a));
        goto fail;
    }
    s->ended = status == ARCHIVE_EOF;
    *out = s;
    return CLN_OK;
fail:
    cln_source_free(s);
    return rc;
}

bool cln_source_is_gzip(const cln_source *s)
{
    return s->gzip;
}

/* The next block of libarchive into s->block, s->left; the checksum where there is none. */
static int next_block(cln_source *s, cln_error *err)
{
    const void *p = NULL;
    size_t n = 0;
    la_int64_t offset;
    while (!s->ended && !n) {
        int status = archive_read_data_block(s->a, &p, &n, &offset);
        if (status != ARCHIVE_OK && status != ARCHIVE_EOF)
            return CLN_FAIL(err, CLN_ERR_DATA, "%s: %s: truncated or damaged" CLN_DATA_HINT,
                            s->path, archive_error_string(s->a));
        s->ended = status == ARCHIVE_EOF;
    }
    s->block = p;
    s->left = s->ended ? 0 : n;
    if (!s->gzip)
        return CLN_OK;
    s->crc = crc_update(s->table, s->crc, s->block, s->left);
    s->size += (uint32_t)s->left;
    if (s->ended &&
        (s->crc != little_endian(s->trailer) || s->size != little_endian(s->trailer + 4)))
        return CLN_FAIL(
            err, CLN_ERR_DATA,
            "%s: gzip's checksum differs: damaged (or several gzip streams in one file: "
            "pack it anew)" CLN_DATA_HINT,
            s->path);
    return CLN_OK;
}

int cln_source_block(cln_source *s, const void **block, size_t *bytes, cln_error *err)
{
    int rc = s->left ? CLN_OK : next_block(s, err);
    *block = s->block;
    *bytes = rc ? 0 : s->left;
    s->left = 0;
    return rc;
}

long cln_source_read(cln_source *s, void *buf, size_t n, cln_error *err)
{
    int rc = s->left ? CLN_OK : next_block(s, err);
    if (rc)
        return rc;
    size_t k = n < s->left ? n : s->left;
    if (k) {
        memcpy(buf, s->block, k);
        s->block += k;
        s->left -= k;
    }
    return (long)k;
}

void cln_source_free(cln_source *s)
{
    if (!s)
        return;
    archive_read_free(s->a);
    free(s);
}
