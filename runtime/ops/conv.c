/* The conv layer, and what it shares with dense: which algorithm runs a direction, its memory and
 * dispatch. */
#include "conv.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

extern const cln_op cln_op_conv;

const cln_stage cln_no_stage = {.pool = 1};

enum { DIRECTIONS = CLN_CONV_BWD_PARAMS + 1 }; /* also their places in node->saved */
enum { SAVED_WEIGHT = 1, SAVED_BIAS };         /* with a norm folded in; only at inference, where backward needs none */
enum { SAVED_STANDARD = DIRECTIONS };          /* standardised weights */
#define STANDARD_EPS 1e-5

typedef struct conv_direction {
    const cln_conv_impl *impl; /* NULL: this direction is not wanted */
    void *state;
} conv_direction;

typedef struct conv_impl {
    conv_direction direction[DIRECTIONS];
    cln_kernel fold, standard_fwd, standard_bwd;
    cln_conv_shape s;
} conv_impl;

const cln_conv_impl *cln_conv_impl_of(cln_conv_algo algo)
{
    return algo == CLN_CONV_VECTOR     ? &cln_conv_vector
           : algo == CLN_CONV_GEMM     ? &cln_conv_gemm
           : algo == CLN_CONV_WINOGRAD ? &cln_conv_winograd
           : algo == CLN_CONV_POINTWISE ? &cln_conv_pointwise
           : algo == CLN_CONV_TILE ? &cln_conv_tile
                                       : &cln_conv_simt;
}

/* ---- shared with dense ----------------------------------------------------------------------- */

int cln_conv_window(cln_conv_shape *s, cln_error *err)
{
    if (s->k % 2 == 0)
        return CLN_FAIL(err, CLN_ERR_MODEL, "k=%d: the kernel's size must be odd", s->k);
    if (s->pad >= s->k)
        return CLN_FAIL(err, CLN_ERR_MODEL, "pad=%d must be smaller than k=%d", s->pad, s->k);
    const int64_t h = (int64_t)s->h + 2 * s->pad - s->k, w = (int64_t)s->w + 2 * s->pad - s->k;
    if (h < 0 || w < 0 || h >= INT_MAX || w >= INT_MAX)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "a %dx%d kernel with pad=%d does not fit an image of %dx%d", s->k, s->k,
                        s->pad, s->h, s->w);
    s->ho = (int)(h / s->stride) + 1;
    s->wo = (int)(w / s->stride) + 1;
    return CLN_OK;
}

void cln_conv_resolve(cln_node *node, const cln_conv_shape *s, const cln_tune_request *request)
{
    const cln_device_info *info = &node->dev->info;
    const cln_tuning *table = node->dev->tuning;
    node->tune.shape = (cln_tune_shape){s->k, s->stride, s->ci, s->co, s->h, s->w, s->pad};
    node->tune.fwd = cln_conv_choose(info, request, table, s, CLN_CONV_FWD);
    node->tune.bwd_data = cln_conv_choose(info, request, table, s, CLN_CONV_BWD_DATA);
    node->tune.bwd_params = cln_conv_choose(info, request, table, s, CLN_CONV_BWD_PARAMS);
}

static const cln_conv_impl *impl_for(const cln_node *node, int direction)
{
    const cln_conv_algo chosen[DIRECTIONS] = {node->tune.fwd, node->tune.bwd_data,
                                              node->tune.bwd_params};
    return cln_conv_impl_of(chosen[direction]);
}

/* The weights that forward uses are node's, scaled by the norm behind it. */
static bool folds(const cln_node *node)
{
    return node->finishes && node->finishes->stage->norm;
}

/* The weights that all directions use are node's, standardised. */
static bool standardises(const cln_node *node)
{
    return node->layer->op == &cln_op_conv && cln_layer_int(node->layer, "ws") != 0;
}

void cln_conv_memory(const cln_node *node, const cln_conv_shape *s, cln_memory *out)
{
    out->keeps_x = true; /* for the gradient of the weights */
    for (int d = 0; d < DIRECTIONS; d++) {
        size_t scratch = 0;
        if (d != CLN_CONV_FWD && (node->inference || (d == CLN_CONV_BWD_DATA && cln_reads_data(node))))
            continue;
        impl_for(node, d)->memory(&node->dev->info, s, node->layer->in[0].n, d, &scratch,
                                  &out->saved[d]);
        if (d == CLN_CONV_FWD && impl_for(node, d)->pools_scratch && cln_conv_finish_of(node).pool == 2)
            scratch = (size_t)node->layer->in[0].n * s->ho * s->wo * s->co * sizeof(float);
        out->scratch = scratch > out->scratch ? scratch : out->scratch;
    }
    if (standardises(node))
        out->saved[SAVED_STANDARD] = (size_t)s->k * s->k * s->ci * s->co * sizeof(float);
    if (folds(node)) {
        out->saved[SAVED_WEIGHT] = (size_t)s->k * s->k * s->ci * s->co * sizeof(float);
        out->saved[SAVED_BIAS] = (size_t)s->co * sizeof(float);
    }
}

/* Scratch holds either y before its pooling or coefficients of the stage before. */
int cln_conv_finishes(const cln_node *node)
{
    const cln_conv_impl *impl = impl_for(node, CLN_CONV_FWD);
    const bool taken = node->applies && node->applies->merged;
    return impl->finishes == 2 && impl->pools_scratch && taken ? 1 : impl->finishes;
}

cln_conv_finish cln_conv_finish_of(const cln_node *node)
{
    const cln_stage *stage = node->finishes ? node->finishes->stage : NULL;
    return stage ? (cln_conv_finish){cln_stage_floor(stage), stage->pool} : (cln_conv_finish){-INFINITY, 1};
}

const char *cln_conv_act_option(const cln_node *node, char out[16])
{
    const cln_stage *before = node->sums_for ? node->sums_for : node->applies;
    out[0] = '\0';
    if (before && before->smooth)
        snprintf(out, 16, " -D ACT=%d", before->smooth);
    return out;
}

void cln_conv_cost(const cln_conv_shape *s, int n, cln_cost cost[CLN_COST_KINDS])
{
    const double x = (double)n * s->h * s->w * s->ci, y = (double)n * s->ho * s->wo * s->co;
    const double w = (double)s->k * s->k * s->ci * s->co, flops = 2.0 * y * s->k * s->k * s->ci;
    const double bias = s->bias ? s->co : 0.0, bytes = sizeof(float);
    cost[CLN_COST_FORWARD] = (cln_cost){flops + (s->bias ? y : 0.0), bytes * (x + w + y + bias)};
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){flops, bytes * (y + w + x)};
    cost[CLN_COST_BACKWARD_PARAMS] =
        (cln_cost){flops + (s->bias ? y : 0.0), bytes * (x + y + w + bias)};
}

int cln_conv_build(cln_node *node, const cln_conv_shape *s, cln_error *err)
{
    conv_impl *impl = calloc(1, sizeof *impl);
    if (!impl)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    node->impl = impl;
    impl->s = *s;
    cln_conv_shape shape = *s; /* as forward sees it */
    shape.bias = s->bias || folds(node);
    const bool wanted[DIRECTIONS] = {true, node->dy.mem && node->dx[0].mem,
                                     node->dy.mem && node->grad[0].mem};
    for (int d = 0; d < DIRECTIONS; d++) {
        if (!wanted[d])
            continue;
        conv_direction *one = &impl->direction[d];
        one->impl = impl_for(node, d);
        int rc = one->impl->create(node, d == CLN_CONV_FWD ? &shape : s, d, &one->state, err);
        if (rc)
            return rc; /* the caller destroys the node */
    }
    int rc = CLN_OK;
    if (folds(node)) {
        char options[32];
        snprintf(options, sizeof options, "-D V=%d", node->finishes->tune.v); /* the norms' program */
        rc = cln_kernel_new(node->dev, "stages.cl", "conv_fold", options, &impl->fold, err);
    }
    if (!rc && standardises(node))
        rc = cln_kernel_new(node->dev, "conv_standard.cl", "conv_standard_fwd", "", &impl->standard_fwd, err);
    if (!rc && standardises(node) && wanted[CLN_CONV_BWD_PARAMS])
        rc = cln_kernel_new(node->dev, "conv_standard.cl", "conv_standard_bwd", "", &impl->standard_bwd, err);
    return rc;
}

void cln_conv_destroy(cln_node *node)
{
    conv_impl *impl = node->impl;
    if (!impl)
        return;
    for (int d = 0; d < DIRECTIONS; d++)
        if (impl->direction[d].state)
            impl->direction[d].impl->destroy(impl->direction[d].state);
    cln_kernel_free(&impl->fold);
    cln_kernel_free(&impl->standard_fwd);
    cln_kernel_free(&impl->standard_bwd);
    free(impl);
    node->impl = NULL;
}

static int run(cln_node *node, int direction, const cln_pass *pass, cln_error *err)
{
    const conv_impl *impl = node->impl;
    const conv_direction *d = &impl->direction[direction];
    return d->impl ? d->impl->run(d->state, node, node->saved[direction], pass, err) : CLN_OK;
}

/* The norm's scale and shift become the convolution's (Jacob et al. 2018, section 3.2). */
static int fold(const cln_node *node, cln_error *err)
{
    const conv_impl *impl = node->impl;
    const cln_conv_shape *s = &impl->s;
    const cln_node *norm = node->finishes;
    return cln_run(&impl->fold, cln_range1((size_t)s->co, (size_t)node->tune.local), err, CLN_MEM(node->param[0]),
                   CLN_MEM(node->param[1]), CLN_MEM(norm->param[0]), CLN_MEM(norm->param[1]), CLN_MEM(norm->state[0]),
                   CLN_MEM(norm->state[1]), CLN_MEM(node->saved[SAVED_WEIGHT]), CLN_MEM(node->saved[SAVED_BIAS]),
                   CLN_INT(s->k * s->k * s->ci), CLN_INT(s->co), CLN_INT(s->bias),
                   CLN_FLOAT(cln_layer_attr(norm->layer, "eps")));
}

static int standardise(const cln_node *node, cln_error *err)
{
    const conv_impl *impl = node->impl;
    const cln_conv_shape *s = &impl->s;
    return cln_run(&impl->standard_fwd, cln_range1((size_t)s->co, (size_t)node->tune.local), err, CLN_MEM(node->param[0]),
                   CLN_MEM(node->saved[SAVED_STANDARD]), CLN_INT(s->k * s->k * s->ci), CLN_INT(s->co),
                   CLN_FLOAT(STANDARD_EPS));
}

/* grad[0] is that of the standardised weights and becomes that of the weights. */
static int gradient_of_raw(const cln_node *node, cln_error *err)
{
    const conv_impl *impl = node->impl;
    const cln_conv_shape *s = &impl->s;
    if (!node->grad[0].mem)
        return CLN_OK;
    return cln_run(&impl->standard_bwd, cln_range1((size_t)s->co, (size_t)node->tune.local), err, CLN_MEM(node->param[0]),
                   CLN_MEM(node->saved[SAVED_STANDARD]), CLN_MEM(node->grad[0]), CLN_INT(s->k * s->k * s->ci),
                   CLN_INT(s->co), CLN_FLOAT(STANDARD_EPS));
}

/* The node as the algorithms are to see it. */
static cln_node with_weights(const cln_node *node)
{
    cln_node seen = *node;
    if (standardises(node))
        seen.param[0] = node->saved[SAVED_STANDARD];
    return seen;
}

int cln_conv_forward(cln_node *node, const cln_pass *pass, cln_error *err)
{
    cln_node standard = with_weights(node);
    int rc = standardises(node) && !pass->same_weights ? standardise(node, err) : CLN_OK;
    if (rc || !folds(node))
        return rc ? rc : run(&standard, CLN_CONV_FWD, pass, err);
    cln_node folded = standard;
    folded.param[0] = node->saved[SAVED_WEIGHT];
    folded.param[1] = node->saved[SAVED_BIAS];
    rc = pass->same_weights ? CLN_OK : fold(&standard, err);
    return rc ? rc : run(&folded, CLN_CONV_FWD, pass, err);
}

int cln_conv_backward(cln_node *node, const cln_pass *pass, cln_error *err)
{
    cln_node standard = with_weights(node);
    int rc = CLN_OK;
    if (!(pass->skip & CLN_SKIP_PARAMS))
        rc = run(node, CLN_CONV_BWD_PARAMS, pass, err);
    if (!rc && !(pass->skip & CLN_SKIP_DATA))
        rc = run(&standard, CLN_CONV_BWD_DATA, pass, err);
    if (!rc && !(pass->skip & CLN_SKIP_PARAMS) && standardises(node)) /* either of them has made it */
        rc = gradient_of_raw(node, err);
    return rc;
}

int cln_conv_sum_parts(const cln_kernel *sum, const cln_node *node, int chunks, int count, int c, bool bias, int v,
                       cln_error *err)
{
    const int first[] = {0, count}, n[] = {count, c}, per_item = 16 * v;
    int rc = CLN_OK;
    for (int k = 0; k < 1 + bias && !rc; k++)
        rc = cln_run(sum, cln_range1((size_t)cln_div_up(n[k], per_item), 1), err, CLN_MEM(node->scratch),
                     CLN_MEM(node->grad[k]), CLN_INT(chunks), CLN_INT(count + c), CLN_INT(first[k]), CLN_INT(n[k]));
    return rc;
}

int cln_conv_max_chunks(size_t params)
{
    enum { MAX_BYTES = 64 * 1048576, MAX_CHUNKS = 32768 }; /* on CUDA axis 1 of a launch ends at 65,535 groups */
    const size_t room = MAX_BYTES / (params * sizeof(float));
    return room < 1 ? 1 : room < MAX_CHUNKS ? (int)room : MAX_CHUNKS;
}

int cln_conv_reduce(const cln_kernel *reduce, const cln_node *node, int weights, int biases, int chunks, cln_error *err)
{
    enum { PARAMS = 8, PARTS = 32 }; /* of a group: see cl/conv_simt.cl */
    const size_t items = (size_t)cln_power_of_two(chunks, PARTS) * PARAMS;
    return cln_run(reduce, cln_range1((size_t)cln_div_up(weights + biases, PARAMS) * items, items), err,
                   CLN_MEM(node->scratch), CLN_MEM(node->grad[0]), CLN_MEM(node->grad[1]), CLN_INT(weights),
                   CLN_INT(biases), CLN_INT(chunks));
}

/* ---- the conv layer -------------------------------------------------------------------------- */

cln_conv_shape cln_conv_shape_of(const cln_layer *layer)
{
    const int k = cln_layer_int(layer, "k"), pad = cln_layer_int(layer, "pad");
    const cln_shape in = layer->in[0], out = layer->out;
    return (cln_conv_shape){.h = in.h,
                            .w = in.w,
                            .ci = in.c,
                            .ho = out.h,
                            .wo = out.w,
                            .co = out.c,
                            .k = k,
                            .stride = cln_layer_int(layer, "stride"),
                            .pad = pad < 0 ? k / 2 : pad,
                            .bias = cln_layer_int(layer, "bias") != 0};
}

static int shape_conv(cln_layer *layer, cln_error *err)
{
    cln_conv_shape s = cln_conv_shape_of(layer);
    int rc = cln_conv_window(&s, err);
    if (!rc && (double)s.k * s.k * s.ci * s.co > INT_MAX)
        rc = CLN_FAIL(err, CLN_ERR_MODEL, "%dx%d taps of %d inputs and %d outputs are too many weights", s.k, s.k, s.ci, s.co);
    layer->out = (cln_shape){layer->in[0].n, s.ho, s.wo, cln_layer_int(layer, "c")};
    return rc;
}

static void params_conv(const cln_layer *layer, cln_params *out)
{
    const cln_conv_shape s = cln_conv_shape_of(layer);
    out->param[0] =
        (cln_param){"weight", {s.k, s.k, s.ci, s.co}, 4, CLN_INIT_KAIMING, s.k * s.k * s.ci, true};
    out->param[1] = (cln_param){"bias", {s.co}, 1, CLN_INIT_ZERO, 0, false};
    out->n_params = s.bias ? 2 : 1;
}

static void cost_conv(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const cln_conv_shape s = cln_conv_shape_of(layer);
    cln_conv_cost(&s, layer->in[0].n, cost);
}

static void resolve_conv(cln_node *node, const cln_tune_request *request)
{
    const cln_conv_shape s = cln_conv_shape_of(node->layer);
    cln_conv_resolve(node, &s, request);
}

static void memory_conv(const cln_node *node, cln_memory *out)
{
    const cln_conv_shape s = cln_conv_shape_of(node->layer);
    cln_conv_memory(node, &s, out);
}

static int build_conv(cln_node *node, cln_error *err)
{
    const cln_conv_shape s = cln_conv_shape_of(node->layer);
    return cln_conv_build(node, &s, err);
}

static int strip_rows(const cln_node *node, int direction, int pool)
{
    const cln_conv_shape s = cln_conv_shape_of(node->layer);
    const cln_conv_impl *impl = impl_for(node, direction);
    return impl->strip_rows ? impl->strip_rows(&node->dev->info, &s, direction, pool) : 0;
}

static int stat_rows_conv(const cln_node *node)
{
    return strip_rows(node, CLN_CONV_FWD, 1);
}

static int sum_rows_conv(const cln_node *node, const cln_stage *stage)
{
    return cln_reads_data(node) ? 0 : strip_rows(node, CLN_CONV_BWD_DATA, stage->pool);
}

static bool applies_conv(const cln_node *node)
{
    return impl_for(node, CLN_CONV_FWD)->applies && (node->inference || impl_for(node, CLN_CONV_BWD_PARAMS)->applies);
}

static bool merges_conv(const cln_node *node)
{
    return impl_for(node, CLN_CONV_FWD)->merges;
}

static bool derives_conv(const cln_node *node, const cln_stage *stage)
{
    const cln_conv_impl *impl = impl_for(node, CLN_CONV_BWD_PARAMS);
    return impl->derives && impl->derives(node, stage);
}

static const cln_attr attrs_conv[] = {
    {"c", NAN, 1, 65536, true, "output channels"},
    {"k", 3, 1, 11, true, "height and width of the kernel; odd"},
    {"stride", 1, 1, 4, true, "step between outputs"},
    {"pad", -1, -1, 10, true, "zeros around the image; -1: k/2, which keeps the size at stride 1"},
    {"bias", 0, 0, 1, true, "1: adds a trained constant to each output channel"},
    {"ws", 0, 0, 1, true, "1: weight standardisation"},
    {0}};

const cln_op cln_op_conv = {
    .word = "conv",
    .help = "convolution",
    .attrs = attrs_conv,
    .inputs = 1,
    .shape = shape_conv,
    .params = params_conv,
    .cost = cost_conv,
    .resolve = resolve_conv,
    .memory = memory_conv,
    .build = build_conv,
    .destroy = cln_conv_destroy,
    .forward = cln_conv_forward,
    .backward = cln_conv_backward,
    .stat_rows = stat_rows_conv,
    .sum_rows = sum_rows_conv,
    .derives = derives_conv,
    .applies = applies_conv,
    .merges = merges_conv,
    .finishes = cln_conv_finishes,
};
