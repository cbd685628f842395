#include "npy.h"

#include "file.h"

#include <stdio.h>
#include <string.h>

enum { BEFORE = 10, HEAD = 128 }; /* magic, version and length; all of it, a multiple of 64 */

int cln_npy_write(const char *path, const float *values, size_t rows, size_t columns, cln_error *err)
{
    char head[HEAD + 1] = "\x93NUMPY\x01"; /* version 1.0; then how much follows, little-endian */
    cln_writer w = {0};
    head[8] = HEAD - BEFORE;
    const int used = snprintf(head + BEFORE, HEAD - BEFORE,
                              "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    memset(head + BEFORE + used, ' ', (size_t)(HEAD - BEFORE - used));
    head[HEAD - 1] = '\n';
    int rc = cln_writer_open(&w, path, err);
    if (!rc)
        rc = cln_writer_put(&w, head, HEAD, err);
    if (!rc)
        rc = cln_writer_put(&w, values, rows * columns * sizeof *values, err);
    return cln_writer_close(&w, rc, err);
}
