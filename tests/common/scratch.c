#define _XOPEN_SOURCE 700 /* nftw */
#include "scratch.h"

#include <archive.h>
#include <archive_entry.h>
#include <check.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[256];

const char *at(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s%s%s", folder, *name ? "/" : "", name);
    return path;
}

void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(at(name), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

blob get(const char *name)
{
    struct stat st;
    FILE *f = fopen(at(name), "rb");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fstat(fileno(f), &st), 0);
    blob b = {malloc((size_t)st.st_size + 1), (size_t)st.st_size};
    ck_assert_uint_eq(fread(b.bytes, 1, b.size, f), b.size);
    fclose(f);
    return b;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void scratch_new(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/clnorm-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

void scratch_remove(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

void holds_text(const char *name, const char *text)
{
    blob b = get(name);
    b.bytes[b.size] = '\0';
    ck_assert_str_eq(b.bytes, text);
    free(b.bytes);
}

void limit_files(rlim_t bytes)
{
    struct rlimit r;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
    signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
}

void put_gzip(const char *name, const void *bytes, size_t n)
{
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    ck_assert_int_eq(archive_write_set_format_raw(a), 0);
    ck_assert_int_eq(archive_write_add_filter_gzip(a), 0);
    ck_assert_int_eq(archive_write_open_filename(a, at(name)), 0);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_pathname(e, "data");
    ck_assert_int_eq(archive_write_header(a, e), 0);
    ck_assert_int_eq(archive_write_data(a, bytes, n), (la_ssize_t)n);
    archive_entry_free(e);
    ck_assert_int_eq(archive_write_close(a), 0);
    archive_write_free(a);
}

void refuse(const char *path, int code, const char *say)
{
    cln_error err = {0};
    cln_dataset unset, *d = &unset;
    int rc = cln_dataset_open(path, &d, &err);
    ck_assert_msg(rc == code && err.code == code, "%s: %d (%s), expected %d", path, rc, err.text,
                  code);
    ck_assert_ptr_null(d);
    ck_assert_msg(strstr(err.text, say) != NULL, "\"%s\" does not say \"%s\"", err.text, say);
    ck_assert_ptr_null(strchr(err.text, '\n'));
}

cln_dataset *accept_data(const char *path)
{
    cln_error err = {0};
    cln_dataset *d = NULL;
    ck_assert_msg(!cln_dataset_open(path, &d, &err), "%s", err.text);
    return d;
}
