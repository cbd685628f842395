/* Data sets behind one interface: CIFAR-10's binary version (a folder or a tar archive), files of
 * the MNIST format (IDX, plain or gzip), and a small real sample that is embedded in the library.
 * Readers only read; sizes are bounded, so that a hostile file cannot exhaust the memory.
 *
 *   images  bytes, N x C x H x W: for each image C planes, each plane row by row (R, G, B)
 *   labels  one byte an image, 0 .. classes - 1
 */
#ifndef CLN_DATASET_H
#define CLN_DATASET_H

#include "clnorm.h"

enum {
    CLN_DATA_MAX_CHANNELS = 4,
    CLN_DATA_MAX_SIDE = 512,        /* pixels */
    CLN_DATA_MAX_RECORDS = 1 << 20, /* training and test images together */
    CLN_DATA_MAX_CLASSES = 256,
    CLN_DATA_MAX_PATH = 4096
};
#define CLN_DATA_MAX_BYTES ((uint64_t)2 << 30) /* of all images together */

typedef struct cln_dataset {
    char name[64]; /* "cifar10", "cifar10-sample", or the folder's name for IDX files */
    int c, h, w;
    int classes;
    size_t n_train, n_test;     /* both at least 1 */
    uint8_t *train_x, *train_y; /* (n_train, c, h, w) and (n_train) */
    uint8_t *test_x, *test_y;   /* (n_test, c, h, w) and (n_test) */
    char **class_names;         /* classes strings; "0", "1", … where the files name none */
    float mean[CLN_DATA_MAX_CHANNELS]; /* of each channel of the training images, bytes / 255 */
    float std[CLN_DATA_MAX_CHANNELS];  /* population standard deviation; 1 for a constant channel */
    bool sample;                       /* the embedded sample: say so to the user */
    char source[CLN_DATA_MAX_PATH];    /* absolute path of what was read, or "bundled sample" */
    char digest[65]; /* SHA-256 of shape, counts, labels and images: the same for the same data
                        whether it came from a folder or an archive */
} cln_dataset;

/* Opens and reads a data set into memory; *out is the caller's, to be freed with cln_dataset_free,
 * and NULL on error. Peak memory is about the size of the data set: archives are streamed.
 *
 * `path` is one of
 *   a folder with data_batch_1.bin … data_batch_5.bin and test_batch.bin (batches.meta.txt names
 *     the classes), or the folder above it, or one that holds cifar-10-binary.tar.gz;
 *   a tar archive of such files, plain or compressed with gzip, bzip2, xz or zstd;
 *   a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
 *     t10k-labels-idx1-ubyte, each plain or with .gz;
 *   "sample": the embedded sample (a folder of this name is ./sample).
 * NULL: $CLNORM_DATA where set and not empty; else the cache folder (cln_data_cache_dir) where it
 * holds one of these; else the embedded sample.
 *
 * Errors: CLN_ERR_IO (missing, unreadable), CLN_ERR_DATA (damaged, foreign, too large),
 * CLN_ERR_MEMORY; the text names the file, what was expected and what to do. */
int cln_dataset_open(const char *path, cln_dataset **out, cln_error *err);

void cln_dataset_free(cln_dataset *d); /* NULL is allowed */

/* Where `clnorm fetch` puts data and cln_dataset_open looks for it: $XDG_CACHE_HOME/clnorm/data,
 * else $HOME/.cache/clnorm/data. Errors: CLN_ERR_IO where neither variable holds an absolute path.
 */
int cln_data_cache_dir(char out[CLN_DATA_MAX_PATH], cln_error *err);

#endif
