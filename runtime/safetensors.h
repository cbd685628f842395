/* The safetensors format: named arrays and a map of strings in one file.
 *
 *     u64 little-endian n | n bytes of JSON | data
 *     {"__metadata__": {"key": "value"}, "3.weight": {"dtype": "F32", "shape": [16, 3, 3, 3],
 *      "data_offsets": [begin, end]}, ...}
 *
 * Offsets count from the start of the data, which the tensors fill without gap or overlap.
 * (https://huggingface.co/docs/safetensors: "Format".) */
#ifndef CLN_SAFETENSORS_H
#define CLN_SAFETENSORS_H

#include "error.h"

enum {
    CLN_ST_MAX_RANK = 8,
    CLN_ST_MAX_NAME = 255,       /* bytes, of a tensor's name */
    CLN_ST_MAX_HEADER = 1 << 20, /* bytes */
    CLN_ST_MAX_FILE = 1 << 30    /* bytes */
};

typedef enum { CLN_ST_F32, CLN_ST_I64, CLN_ST_U8 } cln_st_dtype;

typedef struct cln_st_tensor {
    char *name;
    cln_st_dtype dtype;
    int rank;                      /* 0: a single value */
    int64_t dims[CLN_ST_MAX_RANK]; /* row-major; 0 is allowed: no values */
    size_t bytes;
    void *data; /* aligned for its type; never NULL */
} cln_st_tensor;

typedef struct cln_st_meta {
    char *key, *value;
} cln_st_meta;

/* A file in memory. Begins as {0}; owns all that it holds: cln_st_clear. */
typedef struct cln_st_file {
    char *path;             /* where it was read from; NULL: nowhere */
    cln_st_tensor *tensors; /* in the order added, or of their data in the file */
    cln_st_meta *meta;
    int n_tensors, n_meta;
} cln_st_file;

void cln_st_clear(cln_st_file *st); /* NULL and a cleared one are allowed */

/* Adds a tensor of `rank` dims with a copy of its values (dtype, row-major); data NULL: zeros, to be filled
 * in through st->tensors. A name may occur once. Errors: CLN_ERR_MEMORY; CLN_ERR_INTERNAL for a name, shape
 * or second use that the format does not allow. A failed add changes nothing. */
int cln_st_add(cln_st_file *st, const char *name, cln_st_dtype dtype, const int64_t *dims, int rank,
               const void *data, cln_error *err);

/* Adds key and value (UTF-8) to the map; both are copied. Errors as for cln_st_add. */
int cln_st_add_meta(cln_st_file *st, const char *key, const char *value, cln_error *err);

/* Writes atomically: the old file stays as it is unless all went well. The same contents give the same
 * bytes. Data of wider types come first, so that each tensor is aligned in the file. CLN_ERR_IO. */
int cln_st_write(const cln_st_file *st, const char *path, cln_error *err);

/* Reads a whole file. *st must be cleared and is filled only when everything was found right: lengths,
 * JSON, names, types, shapes, offsets. CLN_ERR_IO where the file cannot be read, CLN_ERR_CHECKPOINT with file
 * and reason where its contents are wrong. */
int cln_st_read(cln_st_file *st, const char *path, cln_error *err);

/* NULL where there is none of that name. */
const cln_st_tensor *cln_st_find(const cln_st_file *st, const char *name);
const char *cln_st_find_meta(const cln_st_file *st, const char *key);

/* The tensor of that name, type and shape; else CLN_ERR_CHECKPOINT with what is there and what was wanted. */
int cln_st_expect(const cln_st_file *st, const char *name, cln_st_dtype dtype, const int64_t *dims,
                  int rank, const cln_st_tensor **out, cln_error *err);

#endif
