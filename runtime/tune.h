/* Which kernels a layer uses on a device: read from a table, never measured by `train`. */
#ifndef CLN_TUNE_H
#define CLN_TUNE_H

#include "device.h"

typedef enum { CLN_CLASS_AUTO, CLN_CLASS_VECTOR, CLN_CLASS_SIMT } cln_class;
typedef enum {
    CLN_CONV_VECTOR,
    CLN_CONV_SIMT,
    CLN_CONV_GEMM,
    CLN_CONV_WINOGRAD,
    CLN_CONV_POINTWISE,
    CLN_CONV_TILE,
    CLN_CONV_ALGOS /* how many there are; tests go through all of them */
} cln_conv_algo;

/* What tells one convolution from another in a table (a dense layer is one of 1x1 with all inputs for channels). */
typedef struct cln_tune_shape {
    int k, stride, ci, co, h, w, pad; /* h, w: of the input */
} cln_tune_shape;

/* A node's resolved plan. */
typedef struct cln_tune {
    cln_class cls;
    int v; /* vector width of norm and pool kernels: divides the channels; 1 in the SIMT class (but cln_tune_wide) */
    int local; /* local size along x of SIMT launches (<= 64) but of those of sums; 1 in the vector class */
    cln_tune_shape shape;                    /* these are of convolution and dense only */
    cln_conv_algo fwd, bwd_data, bwd_params;
} cln_tune;

enum { CLN_MAX_BATCH = 65535 }; /* images in a pass: CUDA launches no more groups along an axis but the first */

/* A line of a table (cl/tune.table describes them): for a direction of one shape or of all from so many operations on
 * its algorithm, or, where direction is CLN_TUNE_MICRO, for a network of so many the images at a time. */
enum { CLN_TUNE_MICRO = 3 }; /* the directions before it are CLN_CONV_* */
typedef struct cln_tune_line {
    cln_class cls;         /* AUTO: '*' */
    bool own_local;        /* "local": SIMT, and only where local memory is not in ordinary memory */
    int direction;         /* -1: '*', which stands for the directions of a convolution */
    bool exact;            /* shape (or, of a network, macs) has to be the same; else macs are a lower bound */
    cln_tune_shape shape;
    double macs;
    cln_conv_algo algo;
    int images;            /* 0: the whole batch */
} cln_tune_line;

/* A table beside the built-in one, and before it: see tuning.h. */
typedef struct cln_tuning {
    cln_tune_line *lines;
    int n;
    bool measured; /* on this device, by `clnorm tune` */
} cln_tuning;

/* What the user may force (CLI --class, --conv; tests): AUTO and -1 leave the tables' choice. */
typedef struct cln_tune_request {
    cln_class cls;
    int conv; /* a cln_conv_algo, or -1 */
} cln_tune_request;

/* Width in which an array of rows of `channels` floats goes through a kernel that does the same to each: v in the vector
 * class, 4 in the SIMT class where that divides them, whose rows are aligned to vectors then. And the options for it. */
enum { CLN_VECTOR_OPTIONS = 40 };
int cln_tune_wide(const cln_tune *tune, int channels);
void cln_tune_wide_options(const cln_tune *tune, int wide, char out[CLN_VECTOR_OPTIONS]);

/* The class of a device by the fixed rule: vector where the native float width is >= 4, else SIMT. */
cln_class cln_tune_class(const cln_device_info *info, const cln_tune_request *request);

/* Widest vector that the device likes and that divides `channels` (1, 2, 4, 8 or 16). */
int cln_tune_width(const cln_device_info *info, cln_class cls, int channels);

/* How many images of a batch go through a network of so many multiplications and additions an image (forward) at a
 * time, where each is on its own: as the tables say. */
int cln_tune_micro(const cln_device *dev, const cln_tune_request *request, double macs, int batch);

/* Reads one line of `length` bytes. 1: *out is filled; 0: a comment or blank; -1: neither. */
int cln_tune_parse(const char *line, size_t length, cln_tune_line *out);

/* The line as cln_tune_parse reads it, without a newline. */
enum { CLN_TUNE_LINE_TEXT = 160 };
void cln_tune_print(const cln_tune_line *line, char text[CLN_TUNE_LINE_TEXT]);

const char *cln_conv_algo_name(cln_conv_algo algo); /* "vector", "simt", "gemm", "winograd", "pointwise", "tile" */

#endif
