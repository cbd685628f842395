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
    CLN_CONV_ALGOS /* how many there are; tests go through all of them */
} cln_conv_algo;

/* A node's resolved plan. */
typedef struct cln_tune {
    cln_class cls;
    int v; /* vector width of pointwise, norm, pool kernels: divides the channels; 1 in the SIMT class */
    int local; /* local size along x of SIMT launches (<= 64), 1 in the vector class */
    cln_conv_algo fwd, bwd_data, bwd_params; /* convolution and dense only */
} cln_tune;

/* What the user may force (CLI --class, --conv; tests): AUTO and -1 leave the table's choice. */
typedef struct cln_tune_request {
    cln_class cls;
    int conv; /* a cln_conv_algo, or -1 */
} cln_tune_request;

/* The class of a device by the fixed rule: vector where the native float width is >= 4, else SIMT. */
cln_class cln_tune_class(const cln_device_info *info, const cln_tune_request *request);

/* Widest vector that the device likes and that divides `channels` (1, 2, 4, 8 or 16). */
int cln_tune_width(const cln_device_info *info, cln_class cls, int channels);

/* How many images of a batch go through a network at a time where each is on its own: on a CPU as many as its cache
 * holds with all that is read again, else the batch. */
int cln_tune_micro(const cln_device_info *info, const cln_tune_request *request, int batch);

const char *cln_conv_algo_name(cln_conv_algo algo); /* "vector", "simt", "gemm", "winograd" */

#endif
