#include "fetch.h"
#include "reader.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HTTP_OK = 200, HTTP_PARTIAL = 206, HTTP_RANGE_PAST_END = 416 };
static const uint64_t MAX_DOWNLOAD = (uint64_t)2 << 30;

typedef struct job {
    const cln_fetch_options *opt;
    cln_fetch_result *res;
    const char *url, *md5;
    char dir[CLN_DATA_MAX_PATH], part[CLN_DATA_MAX_PATH];
    int fd; /* of the .part file; holds its lock */
    CURL *curl;
    char why[CURL_ERROR_SIZE];
    uint64_t base; /* bytes in the file before this transfer's */
    uint64_t done;
    int write_errno;
    bool started, stopped, too_long;
} job;

static int make_dirs(const char dir[CLN_DATA_MAX_PATH], cln_error *err)
{
    char path[CLN_DATA_MAX_PATH];
    snprintf(path, sizeof path, "%s", dir);
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        bool last = !*p;
        *p = '\0';
        if (mkdir(path, 0777) && errno != EEXIST)
            return CLN_FAIL(err, CLN_ERR_IO, "%s: cannot make this folder: %s", path,
                            strerror(errno));
        if (last)
            break;
        *p = '/';
    }
    if (!cln_data_is_dir(dir))
        return CLN_FAIL(err, CLN_ERR_IO, "%s: not a folder", dir);
    return CLN_OK;
}

/* MD5 of the whole file as 32 hexadecimal digits. */
static int md5_of(int fd, const char *path, char hex[33], cln_error *err)
{
    enum { PIECE = 256 << 10 };
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    uint8_t *buf = malloc(PIECE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = buf && ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL);
    ssize_t n = 0;
    for (off_t at = 0; ok && (n = pread(fd, buf, PIECE, at)) > 0; at += n)
        ok = EVP_DigestUpdate(ctx, buf, (size_t)n);
    int read_errno = n < 0 ? errno : 0;
    ok = ok && EVP_DigestFinal_ex(ctx, md, &len) && len == 16;
    EVP_MD_CTX_free(ctx);
    free(buf);
    if (read_errno)
        return CLN_FAIL(err, CLN_ERR_IO, "%s: %s", path, strerror(read_errno));
    if (!ok)
        return CLN_FAIL(err, CLN_ERR_INTERNAL,
                        "libcrypto cannot compute MD5 (switched off by FIPS mode?)");
    for (unsigned int i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", md[i]);
    return CLN_OK;
}

/* 1 in *present where the final file is there with the right sum. */
static int look_for_final(job *j, bool *present, cln_error *err)
{
    char hex[33];
    struct stat st;
    *present = false;
    int fd = open(j->res->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return CLN_OK;
    int rc = CLN_OK;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
        rc = md5_of(fd, j->res->path, hex, err);
        *present = !rc && !strcasecmp(hex, j->md5);
        j->res->bytes = (uint64_t)st.st_size;
    }
    close(fd);
    return rc;
}

static int open_part(job *j, cln_error *err)
{
    struct stat opened, named;
    j->fd = open(j->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (j->fd < 0)
        return CLN_FAIL(err, CLN_ERR_IO, "%s: %s", j->part, strerror(errno));
    const bool locked = flock(j->fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK)
        return CLN_FAIL(err, CLN_ERR_IO, "%s cannot be locked: %s; a file system that can is needed", j->part, strerror(errno));
    /* Another fetch may have renamed the file between open and lock. */
    if (!locked || fstat(j->fd, &opened) || stat(j->part, &named) || opened.st_ino != named.st_ino)
        return CLN_FAIL(err, CLN_ERR_BUSY, "%s: another clnorm fetch is at work here", j->part);
    if (!S_ISREG(opened.st_mode))
        return CLN_FAIL(err, CLN_ERR_IO, "%s: not a file", j->part);
    j->done = (uint64_t)opened.st_size;
    return CLN_OK;
}

static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    job *j = user;
    long status = 0;
    (void)one;
    curl_easy_getinfo(j->curl, CURLINFO_RESPONSE_CODE, &status);
    /* A server that ignores the range sends the whole file again. */
    if (!j->started && status != HTTP_PARTIAL && j->done) {
        if (ftruncate(j->fd, 0)) {
            j->write_errno = errno;
            return 0;
        }
        j->base = j->done = 0;
        j->res->resumed_from = 0;
    }
    j->started = true;
    if (j->done + n > MAX_DOWNLOAD) {
        j->too_long = true;
        return 0;
    }
    for (size_t at = 0; at < n;) {
        ssize_t k = pwrite(j->fd, data + at, n - at, (off_t)j->done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            j->write_errno = k ? errno : ENOSPC;
            return 0;
        }
        at += (size_t)k;
        j->done += (uint64_t)k;
    }
    return n;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up)
{
    job *j = user;
    (void)now, (void)up_total, (void)up;
    uint64_t all = total > 0 ? j->base + (uint64_t)total : 0;
    if (j->opt->progress && j->opt->progress(j->opt->user, j->done, all))
        j->stopped = true;
    return j->stopped;
}

static CURLcode set_options(job *j, const char *range)
{
    CURL *c = j->curl;
    CURLcode rc = CURLE_OK;
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(c, CURLOPT_##option, value)
    SET(ERRORBUFFER, j->why);
    SET(URL, j->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(PROTOCOLS_STR, "http,https");
    SET(REDIR_PROTOCOLS_STR, "http,https");
#else
    SET(PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    SET(REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    SET(USERAGENT, "clnorm/" CLNORM_VERSION);
    SET(FOLLOWLOCATION, 1L);
    SET(MAXREDIRS, 5L);
    SET(FAILONERROR, 1L);
    SET(NOSIGNAL, 1L);
    SET(CONNECTTIMEOUT, 30L);
    SET(LOW_SPEED_LIMIT, 1L);
    SET(LOW_SPEED_TIME, 60L);
    SET(NOPROGRESS, 0L);
    SET(XFERINFOFUNCTION, on_progress);
    SET(XFERINFODATA, j);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, j);
    SET(RANGE, range);
#undef SET
    return rc;
}

static int transfer_error(job *j, CURLcode rc, long status, cln_error *err)
{
    const char *kept = j->done ? "; what has arrived is kept: run it again to continue" : "";
    if (j->write_errno)
        return CLN_FAIL(err, CLN_ERR_IO, "%s: %s%s", j->part, strerror(j->write_errno), kept);
    if (j->too_long) {
        if (!ftruncate(j->fd, 0))
            j->done = 0;
        return CLN_FAIL(err, CLN_ERR_DATA, "%s: sends more than 2 GiB: not the archive", j->url);
    }
    if (j->stopped)
        return CLN_FAIL(err, CLN_ERR_NETWORK, "%s: the download was stopped%s", j->url, kept);
    if (rc == CURLE_HTTP_RETURNED_ERROR)
        return CLN_FAIL(err, CLN_ERR_NETWORK, "%s: the server answers %ld%s%s", j->url, status,
                        status == 404 ? " (not found)" : "", kept);
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s: expected an http or https address", j->url);
    return CLN_FAIL(err, CLN_ERR_NETWORK, "%s: %s%s", j->url,
                    j->why[0] ? j->why : curl_easy_strerror(rc), kept);
}

/* One transfer of what the .part file lacks. */
static int transfer(job *j, cln_error *err)
{
    char range[32];
    long status = 0;
    j->res->resumed_from = j->base = j->done;
    j->started = false;
    j->why[0] = '\0';
    snprintf(range, sizeof range, "%llu-", (unsigned long long)j->done);
    curl_easy_reset(j->curl);
    CURLcode rc = set_options(j, j->done ? range : NULL);
    if (rc)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "libcurl: %s", curl_easy_strerror(rc));
    rc = curl_easy_perform(j->curl);
    curl_easy_getinfo(j->curl, CURLINFO_RESPONSE_CODE, &status);
    if (rc == CURLE_OK)
        return CLN_OK;
    /* Nothing is missing (a download that ended just before its check): the sum will tell. */
    if (rc == CURLE_HTTP_RETURNED_ERROR && status == HTTP_RANGE_PAST_END && j->base)
        return CLN_OK;
    return transfer_error(j, rc, status, err);
}

static int sync_and_rename(job *j, cln_error *err)
{
    if (fsync(j->fd) || rename(j->part, j->res->path))
        return CLN_FAIL(err, CLN_ERR_IO, "%s: %s", j->res->path, strerror(errno));
    int dir = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        fsync(dir); /* some file systems cannot; the file itself is safe */
        close(dir);
    }
    j->res->bytes = j->done;
    return CLN_OK;
}

static int download(job *j, cln_error *err)
{
    char hex[33];
    bool again = true;
    while (again) {
        int rc = transfer(j, err);
        if (rc) {
            if (!j->done)
                unlink(j->part);
            return rc;
        }
        rc = md5_of(j->fd, j->part, hex, err);
        if (rc)
            return rc;
        if (!strcasecmp(hex, j->md5))
            return sync_and_rename(j, err);
        /* The first bytes may be another file's: once more from the start. */
        again = j->res->resumed_from > 0;
        if (ftruncate(j->fd, 0))
            return CLN_FAIL(err, CLN_ERR_IO, "%s: %s", j->part, strerror(errno));
        j->done = 0;
    }
    unlink(j->part);
    return CLN_FAIL(err, CLN_ERR_DATA,
                    "%s: its MD5 sum is %s, expected %s: not the official archive, or "
                    "damaged on the way; the download was removed",
                    j->url, hex, j->md5);
}

static int check_options(const job *j, cln_error *err)
{
    bool hex = strlen(j->md5) == 32;
    for (const char *p = j->md5; hex && *p; p++)
        hex = isxdigit((unsigned char)*p);
    if (!hex)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "\"%s\" is no MD5 sum: expected 32 hexadecimal digits", j->md5);
    if (j->opt->dir && !*j->opt->dir)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "the folder to download to has no name");
    if (strncasecmp(j->url, "http://", 7) != 0 && strncasecmp(j->url, "https://", 8) != 0)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "\"%s\": expected an http or https address", j->url);
    return CLN_OK;
}

int cln_fetch(const cln_fetch_options *options, cln_fetch_result *result, cln_error *err)
{
    job j = {.opt = options, .res = result, .fd = -1};
    bool present = false, global = false;
    memset(result, 0, sizeof *result);
    j.url = options->url ? options->url : CLN_FETCH_URL;
    j.md5 = options->md5 ? options->md5 : CLN_FETCH_MD5;

    int rc = check_options(&j, err);
    if (!rc && options->dir)
        rc = cln_data_join(j.dir, options->dir, "", err);
    else if (!rc)
        rc = cln_data_cache_dir(j.dir, err);
    if (!rc)
        rc = make_dirs(j.dir, err);
    if (!rc)
        rc = cln_data_join(result->path, j.dir, CLN_DATA_ARCHIVE, err);
    if (!rc)
        rc = cln_data_join(j.part, j.dir, CLN_DATA_ARCHIVE ".part", err);
    if (!rc)
        rc = look_for_final(&j, &present, err);
    if (rc || present)
        goto out;

    result->bytes = 0;
    rc = open_part(&j, err);
    if (rc)
        goto out;
    global = !curl_global_init(CURL_GLOBAL_DEFAULT);
    j.curl = global ? curl_easy_init() : NULL;
    rc = j.curl ? download(&j, err) : CLN_FAIL(err, CLN_ERR_MEMORY, "libcurl does not start");
out:
    result->present = present;
    curl_easy_cleanup(j.curl);
    if (global)
        curl_global_cleanup();
    if (j.fd >= 0)
        close(j.fd);
    return rc;
}
