/* The algorithms behind the convolution and dense layers. conv.c holds the layer's description and picks;
 * conv_vector.c, conv_winograd.c, conv_pointwise.c, conv_gemm.c and conv_simt.c provide the cln_conv_impl.
 *
 * y[n,oy,ox,co] = b[co] + sum over ky,kx,ci of x[n, oy*s+ky-p, ox*s+kx-p, ci] * w[ky,kx,ci,co] */
#ifndef CLN_OPS_CONV_H
#define CLN_OPS_CONV_H

#include "op.h"

typedef struct cln_conv_shape {
    int h, w, ci;     /* input image */
    int ho, wo, co;   /* output image */
    int k, stride, pad;
    bool bias;
    bool depthwise; /* a kernel for each channel: ci = co, weights (k, k, co) */
} cln_conv_shape;

/* That of a layer with conv's attributes; ho, wo and co once layer->out is known. (In conv.c, as the next one.) */
cln_conv_shape cln_conv_shape_of(const cln_layer *layer);

/* Fills ho and wo. CLN_ERR_MODEL where the window is not odd or does not fit. */
int cln_conv_window(cln_conv_shape *s, cln_error *err);

enum { CLN_CONV_FWD, CLN_CONV_BWD_DATA, CLN_CONV_BWD_PARAMS };

/* One algorithm. Objects are per node and direction set; `state` is what create returned. */
typedef struct cln_conv_impl {
    /* Whether it can compute `direction` (CLN_CONV_*) of this shape on the device, right and usefully. */
    bool (*supports)(const cln_device_info *info, const cln_conv_shape *s, int direction);
    /* Bytes of scratch wanted (for a batch of n) and of a buffer of its own (saved; e.g. transposed weights). */
    void (*memory)(const cln_device_info *info, const cln_conv_shape *s, int n, int direction, size_t *scratch,
                   size_t *saved);
    /* Rows per strip of the statistics / sums epilogue in this direction; 0: has none. NULL: has none. */
    int (*strip_rows)(const cln_device_info *info, const cln_conv_shape *s, int direction, int pool);
    /* Whether backward-params (which runs first) can make dy as that of the stage behind (node->behind), and leave it
     * at dy for backward-data, or make both gradients in one pass. NULL: no. */
    bool (*derives)(const cln_node *node, const cln_stage *stage);
    bool applies; /* forward and backward-params can read a stage's z for x (node->applies) */
    int finishes; /* forward can run a stage on y (node->finishes): 1: with ReLU, 2: with 2x2 max pooling too; 0: none */
    bool merges;        /* forward can make that stage's coefficients, too (stage->merged) */
    bool pools_scratch; /* it leaves y as it is before the pooling in scratch */
    int (*create)(cln_node *node, const cln_conv_shape *s, int direction, void **state, cln_error *err);
    void (*destroy)(void *state);
    /* fwd: x, param -> y (+ node->stats_for, node->finishes: see cln_conv_finish_of). bwd_data: dy, param -> dx[0]
     * (= or += by node->accumulate[0]) (+ node->sums_for). bwd_params: x, dy -> grad[0] (and grad[1] for the bias).
     * saved: own buffer. */
    int (*run)(void *state, cln_node *node, cln_tensor saved, const cln_pass *pass, cln_error *err);
} cln_conv_impl;

/* What forward does to y before it writes it: max(y, lo), then 2x2 max pooling where pool is 2. */
typedef struct cln_conv_finish {
    double lo;
    int pool;
} cln_conv_finish;
cln_conv_finish cln_conv_finish_of(const cln_node *node);

/* What a program's options need for kernels that know the stage before the node (node->sums_for, node->applies): "", or
 * " -D ACT=2". Returns out. */
const char *cln_conv_act_option(const cln_node *node, char out[16]);

extern const cln_conv_impl cln_conv_vector, cln_conv_simt, cln_conv_gemm, cln_conv_winograd, cln_conv_pointwise,
    cln_conv_tile;

const cln_conv_impl *cln_conv_impl_of(cln_conv_algo algo);

/* Widest vector, 4 or more, that the device likes and that divides the channels; 0: none. (In conv_vector.c.) */
int cln_conv_vector_width(const cln_device_info *info, int channels);

/* The sums of backward-params' parts in scratch, (chunks, count + c), to grad[0] (count) and, with a bias, grad[1] (c), by
 * conv_bwd_params_sum in vectors of v. (In conv.c.) */
int cln_conv_sum_parts(const cln_kernel *sum, const cln_node *node, int chunks, int count, int c, bool bias, int v,
                       cln_error *err);

/* The same for the SIMT class, by conv_bwd_reduce_simt: parts are node->scratch (chunks, weights + biases). */
int cln_conv_reduce(const cln_kernel *reduce, const cln_node *node, int weights, int biases, int chunks, cln_error *err);

/* Chunks of which the SIMT class may keep partial sums of so many weights and biases: what memory and a launch have room
 * for. (In conv.c.) */
int cln_conv_max_chunks(size_t params);

/* In the place of a stage where there is none: arguments that no kernel reads. */
extern const cln_stage cln_no_stage;

/* The kernel arguments STAGE_BEHIND_ARGS (cl/stage.h) of a convolution to c channels, for n images; s: node->behind or
 * &cln_no_stage. */
#define CLN_CONV_BEHIND(s, n, c)                                                                         \
    CLN_INT((s) != &cln_no_stage), CLN_MEM((s)->z), CLN_MEM((s)->dy), CLN_MEM((s)->mu), CLN_MEM((s)->a), \
        CLN_MEM((s)->beta), CLN_MEM((s)->qr), CLN_INT((s)->r_plane *(n) * (c)),                          \
        CLN_INT((s)->coef_stride), CLN_INT((s)->pool), CLN_FLOAT(cln_stage_mask(s))

/* The algorithm for a direction of a shape on a device: what the user forces, if it supports the shape, else the first
 * line of `table` (NULL: none) and then of cl/tune.table that fits and whose algorithm supports it; SIMT where none
 * does. Depends on nothing but its arguments and that table. (In tune.c.) */
cln_conv_algo cln_conv_choose(const cln_device_info *info, const cln_tune_request *request, const cln_tuning *table,
                              const cln_conv_shape *s, int direction);

/* What the conv and the dense layer share: a layer that is a convolution of shape *s, with param[0] its weight
 * and param[1] its bias. They fill the cln_op hooks of the same names. */
void cln_conv_resolve(cln_node *node, const cln_conv_shape *s, const cln_tune_request *request);
void cln_conv_memory(const cln_node *node, const cln_conv_shape *s, cln_memory *out);
void cln_conv_cost(const cln_conv_shape *s, int n, cln_cost cost[CLN_COST_KINDS]);
int cln_conv_build(cln_node *node, const cln_conv_shape *s, cln_error *err);
void cln_conv_destroy(cln_node *node);
int cln_conv_finishes(const cln_node *node);
int cln_conv_forward(cln_node *node, const cln_pass *pass, cln_error *err);
int cln_conv_backward(cln_node *node, const cln_pass *pass, cln_error *err);

#endif
