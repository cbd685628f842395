/* Inside data/: what the readers share. Each reader fills name, shape, classes, class_names,
 * counts, images and labels of a zeroed cln_dataset; on error the caller frees what is there. */
#ifndef CLN_DATA_READER_H
#define CLN_DATA_READER_H

#include "dataset.h"
#include "error.h"

#define CLN_DATA_ARCHIVE "cifar-10-binary.tar.gz" /* as the official one is called */
#define CLN_DATA_HINT    "; `clnorm fetch` downloads CIFAR-10"

/* CIFAR-10's binary layout: records of a label byte and 3 x 32 x 32 image bytes. */
int cln_cifar_read_folder(const char *dir, cln_dataset *d, cln_error *err);
int cln_cifar_read_archive(const char *path, cln_dataset *d, cln_error *err);
int cln_cifar_read_memory(const void *archive, size_t bytes, cln_dataset *d, cln_error *err);
bool cln_cifar_is_folder(const char *dir); /* any of the batches is there */

/* The MNIST format: http://yann.lecun.com/exdb/mnist (section "File formats"). */
int cln_idx_read_folder(const char *dir, cln_dataset *d, cln_error *err);
bool cln_idx_is_folder(const char *dir); /* any of the four files is there */

/* The embedded sample: a tar.gz of the official layout with fewer records, its batches stored as
 * residuals and called data_batch_1.bin.med … */
void cln_sample_bytes(const void **bytes, size_t *size);
void cln_residual_restore(uint8_t image[3072]);

/* A file as a stream of bytes, unpacked where it is gzip (and then checked against gzip's own
 * checksum when the end is reached). Errors: CLN_ERR_IO, CLN_ERR_DATA (truncated or damaged),
 * CLN_ERR_MEMORY. */
typedef struct cln_source cln_source;
int cln_source_open(const char *path, cln_source **out, cln_error *err);
bool cln_source_is_gzip(const cln_source *s);
/* Up to n bytes: how many, 0 at the end, or a negative error code. */
long cln_source_read(cln_source *s, void *buf, size_t n, cln_error *err);
/* The same without a copy: the next bytes, valid until the next call; *bytes 0 at the end. */
int cln_source_block(cln_source *s, const void **block, size_t *bytes, cln_error *err);
void cln_source_free(cln_source *s); /* NULL is allowed */

/* Class names: from text, a name a line; or "0" … . Replaces nothing: d->class_names is NULL
 * before. */
int cln_data_names_parse(cln_dataset *d, const char *text, size_t bytes, const char *file,
                         cln_error *err);
int cln_data_names_count(cln_dataset *d, int classes, cln_error *err);

/* "dir/name" into out; CLN_ERR_IO where that is too long. */
int cln_data_join(char out[CLN_DATA_MAX_PATH], const char *dir, const char *name, cln_error *err);

bool cln_data_is_file(const char *path);
bool cln_data_is_dir(const char *path);

#endif
