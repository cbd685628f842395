/* Files as the runtime needs them: whole reads with a limit, atomic writes, appended lines, paths and
 * SHA-256. Texts of errors name the path, the reason and, for a full disk and the like, what to do. */
#ifndef CLN_FILE_H
#define CLN_FILE_H

#include <stdio.h>

#include "error.h"

enum { CLN_PATH_MAX = 4096, CLN_SHA256_HEX = 65 };

/* dir + "/" + name into out (size bytes, NUL included). An empty dir or an absolute name gives the name
 * alone. CLN_ERR_ARGUMENT where it does not fit: nothing is ever cut off. out may not overlap the others. */
int cln_path_join(char *out, size_t size, const char *dir, const char *name, cln_error *err);

/* mkdir -p. A folder that exists already is fine; anything else by that name is CLN_ERR_IO. */
int cln_dir_make(const char *path, cln_error *err);

/* True where something of that name exists (a dangling link counts too), or where that cannot be told: what may be
 * there is not to be replaced. */
bool cln_file_exists(const char *path);

/* Opens a regular file for reading: descriptor (closed by the caller) and length in bytes. CLN_ERR_IO, also
 * for folders, pipes and devices. cln_file_read then reads exactly n bytes from where it stands. */
int cln_file_open(const char *path, int *fd, uint64_t *length, cln_error *err);
int cln_file_read(int fd, const char *path, void *bytes, size_t n, cln_error *err);

/* Reads a regular file whole. *bytes (freed by the caller with free) ends with a NUL that *n does not
 * count, so that text may be parsed in place. Larger than `limit` bytes: CLN_ERR_DATA; CLN_ERR_IO with errno. Outputs are
 * untouched on failure. */
int cln_file_read_all(const char *path, size_t limit, unsigned char **bytes, size_t *n,
                      cln_error *err);

/* Replaces path's contents by n bytes, or leaves the old file as it was: temporary file in the same
 * folder, fsync, rename, fsync of the folder. CLN_ERR_IO. */
int cln_file_write_atomic(const char *path, const void *bytes, size_t n, cln_error *err);

/* Whether that would work now, for what is written after hours of work: the temporary file is made and removed. */
int cln_file_try(const char *path, cln_error *err);

/* Appends line and a newline and syncs, making the file where there is none. A write that fails half-way
 * (disk full) is taken back. `line` has no newline of its own. */
int cln_file_append_line(const char *path, const char *line, cln_error *err);

/* The atomic write in pieces, for what need not be in memory as one block. After open: any number of
 * puts, then one close with the outcome so far: with 0 it commits, else it removes the temporary and
 * leaves the old file alone. close returns its `rc` argument where that was an error already:
 *     rc = cln_writer_open(&w, path, err);
 *     if (rc == 0)
 *         rc = cln_writer_put(&w, bytes, n, err);
 *     return cln_writer_close(&w, rc, err);                                                        */
typedef struct cln_writer {
    FILE *file; /* NULL: not open; close is then harmless */
    char path[CLN_PATH_MAX];
    char temporary[CLN_PATH_MAX];
} cln_writer;

int cln_writer_open(cln_writer *w, const char *path, cln_error *err);
int cln_writer_put(cln_writer *w, const void *bytes, size_t n, cln_error *err);
int cln_writer_sync(cln_writer *w,
                    cln_error *err); /* what was put so far is on the disk, or CLN_ERR_IO */
int cln_writer_close(cln_writer *w, int rc, cln_error *err);

/* True for names that cln_writer_open gives the temporary of `name`: ".NAME.PID-K.tmp". A killed process
 * may leave one; whoever holds the folder's lock may remove it. */
bool cln_file_is_temporary_of(const char *candidate, const char *name);

/* CLN_ERR_IO for the failed call `what` ("cannot write") on path with that errno, which it leaves there: reason and advice. */
int cln_file_error(cln_error *err, const char *what, const char *path, int code);

/* SHA-256 of n bytes in lower-case hex, NUL-terminated. CLN_ERR_MEMORY where libcrypto has none. */
int cln_sha256_hex(const void *bytes, size_t n, char hex[CLN_SHA256_HEX], cln_error *err);

#endif
