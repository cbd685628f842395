/* What a layer is. Everything that the runtime, the tests and the bench need to know about a kind of
 * layer stands in one cln_op: its word in a .net file, its attributes, shape inference, parameters,
 * memory, kernels, cost, and what may be fused with it. A NULL function means "default".
 *
 * Words: a LAYER is a line that a person wrote; a NODE is that layer placed on a device by the plan.
 * Tensors are NHWC float32. Values are written with `=`, gradients with `=` or `+=` (node->accumulate).
 */
#ifndef CLN_OP_H
#define CLN_OP_H

#include <math.h>

#include "kernel.h"
#include "tensor.h"
#include "tune.h"

enum { CLN_MAX_ATTRS = 8, CLN_MAX_INPUTS = 2, CLN_MAX_PARAMS = 2, CLN_MAX_STATES = 3, CLN_MAX_SAVED = 4 };

struct cln_op;
struct cln_node;

/* An attribute of a layer: `name=value` in a .net line; the first one may be given by position alone
 * ("conv 16 k=3"). Integers and 0/1 flags are held as doubles. */
typedef struct cln_attr {
    const char *name;
    double value;    /* default; NAN: must be given */
    double min, max; /* inclusive */
    bool integer;
    const char *help;
} cln_attr;

typedef struct cln_layer {
    const struct cln_op *op;
    int index;                       /* 0-based; also the prefix of its parameters' names: "3.weight" */
    int line;                        /* in the .net file, for messages */
    char label[32];                  /* "" or the word before ':' */
    int input[CLN_MAX_INPUTS];       /* index of the layer it reads; -1: the data */
    int n_inputs;
    double attr[CLN_MAX_ATTRS];      /* in op->attrs order */
    cln_shape in[CLN_MAX_INPUTS], out; /* n is the batch size */
} cln_layer;

typedef enum { CLN_INIT_ZERO, CLN_INIT_ONE, CLN_INIT_KAIMING } cln_init;

/* A trained parameter or a saved-but-not-trained state (running statistics) of a layer. */
typedef struct cln_param {
    const char *name;  /* "weight", "bias", "running_mean", ... (PyTorch's names) */
    int dims[4], rank; /* as laid out on the device: conv [ky][kx][c_in][c_out], dense [in][out], norm [c] */
    cln_init init;
    int fan_in;        /* for CLN_INIT_KAIMING: normal(0, sqrt(2 / fan_in)) */
    bool decay;        /* weight decay applies (weights only, never gamma, beta, bias) */
} cln_param;

typedef struct cln_params {
    cln_param param[CLN_MAX_PARAMS], state[CLN_MAX_STATES];
    int n_params, n_states;
} cln_params;

static inline size_t cln_param_count(const cln_param *p)
{
    size_t n = 1;
    for (int i = 0; i < p->rank; i++)
        n *= (size_t)p->dims[i];
    return n;
}

/* Device memory a node asks of the plan, in bytes. */
typedef struct cln_memory {
    bool keeps_x, keeps_y;          /* needed until this node's backward */
    size_t saved[CLN_MAX_SAVED];    /* own buffers that live from forward to backward */
    size_t scratch;                 /* shared by all nodes; contents live for one forward or backward call */
} cln_memory;

/* flops (multiply and add count 2) and compulsory bytes, for the batch in layer->in[0].n */
typedef struct cln_cost {
    double flops, bytes;
} cln_cost;
enum { CLN_COST_FORWARD, CLN_COST_BACKWARD_DATA, CLN_COST_BACKWARD_PARAMS, CLN_COST_KINDS };

/* ---- fusion ---------------------------------------------------------------------------------
 * A STAGE is a norm (or a lone activation) with the activation and the 2x2 max pooling that follow:
 *     y = pool(act((z - mu[n,c]) * a[n,c] + beta[c])),  act: ReLU, a smooth one, or none
 * executed as one pass over z. Its node is the host; the layers it absorbed run nothing.
 * All four norms share it: they differ only in how mu and a come out of the statistics.
 * Tile statistics: z is cut into `tiles` strips of whole rows per image, `strip_rows` rows each (the last
 * may be shorter); stats (N, tiles, 2, C) holds (mean, M2 = sum of squared deviations from that mean)
 * per strip and channel. A producer (convolution) that can leave them saves the stage one pass.
 * Backward sums: sums (N, tiles, 2, C) holds (sum g, sum g * (z - mu)) per strip of the stage's INPUT rows
 * and channel, where g is dy behind the pool's argmax, times act', at z's resolution. A consumer
 * whose backward writes dx = the stage's dy as its LAST contribution can leave them, and where pool is 1 it leaves g in
 * place of dy, too. */
typedef struct cln_stage {
    bool norm;              /* false: mu = 0, a = 1, beta = 0 and no statistics */
    bool relu;
    int smooth;             /* ACT of cl/act.h in ReLU's place; 0: none */
    int pool;               /* 1 or 2 */
    cln_tensor z;           /* (N, H, W, C) the stage's input */
    cln_tensor mu, a;       /* per-(n, c) coefficients at [n * coef_stride + c] */
    int coef_stride;        /* C, or 0 where all images share them (batch norm) */
    cln_tensor beta;        /* (C) */
    cln_tensor stats, sums; /* see above; as large as strips of strip_rows and sum_rows need */
    int stat_rows;          /* rows per strip that the producer writes; 0: nobody does, the stage does it itself */
    int sum_rows;           /* likewise for the consumer's backward; counted in z's rows */
    cln_tensor dy, qr;      /* the gradient of y; coefficients of dz = a g + q (z - mu) + r, g as above: q at */
    int r_plane;            /* [n * coef_stride + c], r behind r_plane * N * C floats, N the images of the pass */
    bool derived;           /* dz is not made here: the producer of z makes it from dy, the last step of its backward */
    bool deferred;          /* y is never made: its one consumer reads z and applies the stage itself (pool is 1) */
    bool merged;            /* nor mu and a (inference): who applies the stage makes them of stats, gamma, groups and eps */
    cln_tensor gamma;       /* (C) */
    int strip_rows;         /* rows per strip of stats, whoever writes them */
    int groups;             /* sets of channels in an image that share statistics; 0: over the batch */
    double eps;
} cln_stage;

/* What a layer becomes when the stage before it absorbs it. */
typedef enum { CLN_ABSORB_NO, CLN_ABSORB_RELU, CLN_ABSORB_POOL2, CLN_ABSORB_SILU, CLN_ABSORB_CELU, CLN_ABSORB_GELU } cln_absorb;
static inline int cln_absorb_smooth(cln_absorb what) /* see cln_stage.smooth */
{
    return what > CLN_ABSORB_POOL2 ? (int)(what - CLN_ABSORB_POOL2) : 0;
}
static inline bool cln_absorb_is_activation(cln_absorb what) { return what != CLN_ABSORB_NO && what != CLN_ABSORB_POOL2; }

/* ---- a node: a layer on a device ------------------------------------------------------------ */
typedef struct cln_node {
    const cln_layer *layer;
    cln_device *dev;
    cln_tune tune;                          /* algorithm and tile, resolved by the plan; part of the config */
    cln_tensor x[CLN_MAX_INPUTS], y;        /* forward */
    cln_tensor dx[CLN_MAX_INPUTS], dy;      /* backward; dx[i].mem == NULL: nobody wants it */
    bool accumulate[CLN_MAX_INPUTS];        /* dx[i] += instead of = */
    cln_tensor param[CLN_MAX_PARAMS], grad[CLN_MAX_PARAMS], state[CLN_MAX_STATES];
    cln_tensor saved[CLN_MAX_SAVED], scratch;
    cln_tensor zeros;                       /* at least 4 KiB of zero bytes, never written */
    bool inference;                         /* only forward will run */
    bool skip;                              /* absorbed: forward and backward do nothing */
    cln_stage *stage;                       /* host of a stage: its own stage (owned by the node), else NULL */
    cln_stage *stats_for;                   /* producer: leave tile statistics of y there (stats_for->stat_rows) */
    cln_stage *sums_for;                    /* consumer: leave backward sums of dx[0] there */
    cln_stage *behind;                      /* producer: dy is to be made, from that stage's dy, coefficients and z = y */
    cln_stage *applies;                     /* consumer: x[0] is that stage's z, and it wants the stage's y */
    const struct cln_node *finishes;        /* producer, inference: y is what the stage of that host makes of it */
    void *impl;                             /* the op's kernels; made by build, released by destroy */
} cln_node;

/* How one pass over the network runs. */
typedef struct cln_pass {
    int n;              /* images in this batch, <= layer->in[0].n: every kernel takes it at run time */
    bool train;         /* batch statistics and dropout, or running statistics */
    uint32_t seed, step; /* for dropout's counter-based random numbers */
    unsigned skip;      /* CLN_SKIP_*: what backward leaves out where it can (convolution, dense) */
    bool same_weights;  /* as in the pass before: what a layer derived from them is still good */
} cln_pass;
enum { CLN_SKIP_DATA = 1, CLN_SKIP_PARAMS = 2 };

typedef struct cln_op {
    const char *word;       /* in a .net file */
    const char *help;       /* one line */
    const cln_attr *attrs;  /* ends with a NULL name; NULL: none */
    int inputs;             /* 1, or 2: the second is a label, the last word of the line ("add skip") */

    /* layer->in -> layer->out; checks what the attributes' ranges cannot (CLN_ERR_MODEL, a text without
     * the line number, which the caller adds). NULL: out = in[0]. */
    int (*shape)(cln_layer *layer, cln_error *err);
    void (*params)(const cln_layer *layer, cln_params *out); /* NULL: none; *out is zeroed before */
    void (*cost)(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS]); /* NULL: bytes of x and y only */

    /* device side */
    void (*resolve)(cln_node *node, const cln_tune_request *request); /* chooses tune.fwd, bwd_*; NULL: has no choice */
    void (*memory)(const cln_node *node, cln_memory *out);   /* NULL: nothing kept; *out is zeroed before */
    int (*build)(cln_node *node, cln_error *err);            /* kernels; called once after all tensors are set */
    void (*destroy)(cln_node *node);                         /* frees impl; allowed when build failed or never ran */
    int (*forward)(cln_node *node, const cln_pass *pass, cln_error *err);
    /* reads dy, writes dx (where wanted) and grad (always `=`: one use of a parameter per network) */
    int (*backward)(cln_node *node, const cln_pass *pass, cln_error *err);

    bool whole_batch;                                /* in training an image's output depends on the others */
    /* fusion hooks */
    bool norm;                                       /* may stand where a .net file says $norm (net.c) */
    bool host;                                       /* may host a stage: norms and activations */
    /* a norm that knows its statistics at inference: (z - state[0]) * param[0] / sqrt(state[1] + eps) + param[1] */
    bool known_statistics;
    cln_absorb (*absorb)(const cln_layer *layer);    /* what the stage before it may swallow; NULL: no */
    int (*stat_rows)(const cln_node *node);          /* producer: rows per strip it would leave; NULL or 0: cannot */
    int (*sum_rows)(const cln_node *node, const cln_stage *stage); /* consumer: likewise, in z's rows */
    bool (*derives)(const cln_node *node, const cln_stage *stage); /* producer: can make a stage's dz; NULL: no */
    bool (*applies)(const cln_node *node);           /* consumer: can read a stage's z in place of its y; NULL: no */
    bool (*merges)(const cln_node *node);            /* consumer: and make its mu and a of its statistics; NULL: no */
    /* producer: can finish a stage of such a norm, or of none, as it writes y: 1: without pooling, 2: with. NULL: 0. */
    int (*finishes)(const cln_node *node);
} cln_op;

/* The table of all ops, NULL-terminated, and look-up by word (NULL: none such). */
extern const cln_op *const cln_ops[];
const cln_op *cln_op_find(const char *word);

/* Value of attribute `name` of a layer; the name must exist. */
double cln_layer_attr(const cln_layer *layer, const char *name);
static inline int cln_layer_int(const cln_layer *layer, const char *name)
{
    return (int)cln_layer_attr(layer, name);
}

/* It reads the data, whose gradient nobody wants. */
static inline bool cln_reads_data(const cln_node *node) { return node->layer->input[0] < 0; }

/* Divides, rounding up. */
static inline int cln_div_up(int a, int b) { return (a + b - 1) / b; }
static inline int cln_min(int a, int b) { return a < b ? a : b; }
static inline int cln_max(int a, int b) { return a > b ? a : b; }

/* The least power of two >= n, at most `most` (a power of two). */
static inline int cln_power_of_two(int n, int most)
{
    int p = 1;
    while (p < n && p < most)
        p *= 2;
    return p;
}

/* The least value that a stage lets through. */
static inline float cln_stage_floor(const cln_stage *s) { return s->relu ? 0.0f : -INFINITY; }

/* Whether the consumer leaves g in place of dy. */
static inline bool cln_stage_masked(const cln_stage *s) { return s->sum_rows && s->pool == 1; }

/* What stage_mask of cl/stage.h takes in backward: -INFINITY where dy is g, else 0. */
static inline float cln_stage_mask(const cln_stage *s)
{
    return cln_stage_masked(s) || !(s->relu || s->smooth) ? -INFINITY : 0.0f;
}

#endif
