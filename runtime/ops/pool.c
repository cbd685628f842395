/* Max, average and global average pooling (cl/pool.cl has the formulas).
 * Semantics are PyTorch's: sizes are rounded down, padding is at most half the kernel, averages
 * count the padding. */
#include "op.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

extern const cln_op cln_op_maxpool, cln_op_avgpool, cln_op_gap;

typedef struct pool_impl {
    cln_kernel forward, backward;
} pool_impl;

typedef struct window {
    int k, stride, pad;
} window;

static window window_of(const cln_layer *layer)
{
    const int k = cln_layer_int(layer, "k"), stride = cln_layer_int(layer, "stride");
    return (window){k, stride ? stride : k, cln_layer_int(layer, "pad")};
}

static int shape_pool(cln_layer *layer, cln_error *err)
{
    const window q = window_of(layer);
    const cln_shape in = layer->in[0];
    if (q.pad > q.k / 2)
        return CLN_FAIL(err, CLN_ERR_MODEL, "pad=%d is more than half of k=%d", q.pad, q.k);
    const int64_t h = (int64_t)in.h + 2 * q.pad - q.k, w = (int64_t)in.w + 2 * q.pad - q.k;
    if (h < 0 || w < 0 || h >= INT_MAX || w >= INT_MAX)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "a %dx%d window with pad=%d does not fit an image of %dx%d", q.k, q.k,
                        q.pad, in.h, in.w);
    layer->out = (cln_shape){in.n, (int)(h / q.stride) + 1, (int)(w / q.stride) + 1, in.c};
    return CLN_OK;
}

static int shape_gap(cln_layer *layer, cln_error *err)
{
    (void)err;
    layer->out = (cln_shape){layer->in[0].n, 1, 1, layer->in[0].c};
    return CLN_OK;
}

static void cost_pool(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double x = (double)cln_shape_count(layer->in[0]), y = (double)cln_shape_count(layer->out);
    const bool max = layer->op == &cln_op_maxpool, gap = layer->op == &cln_op_gap;
    const double k = gap ? 0.0 : window_of(layer).k, flops = gap ? x : y * k * k,
                 bytes = sizeof(float);
    cost[CLN_COST_FORWARD] = (cln_cost){flops, bytes * (x + y)};
    cost[CLN_COST_BACKWARD_DATA] =
        (cln_cost){max ? 2 * flops : flops, bytes * ((max ? 2 * x : x) + y)};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
}

static void memory_max(const cln_node *node, cln_memory *out)
{
    (void)node;
    out->keeps_x = true; /* backward finds the maximum again */
}

static void destroy_pool(cln_node *node)
{
    pool_impl *m = node->impl;
    if (!m)
        return;
    cln_kernel_free(&m->forward);
    cln_kernel_free(&m->backward);
    free(m);
    node->impl = NULL;
}

static int build_pool(cln_node *node, cln_error *err)
{
    const char *kind = node->layer->op == &cln_op_maxpool ? "max"
                       : node->layer->op == &cln_op_gap   ? "gap"
                                                          : "avg";
    char options[32], forward[32], backward[32];
    pool_impl *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    node->impl = m;
    snprintf(options, sizeof options, "-D V=%d", node->tune.v);
    snprintf(forward, sizeof forward, "pool_fwd_%s", kind);
    snprintf(backward, sizeof backward, "pool_bwd_%s", kind);
    int rc = cln_kernel_new(node->dev, "stages.cl", forward, options, &m->forward, err);
    if (!rc && node->dx[0].mem)
        rc = cln_kernel_new(node->dev, "stages.cl", backward, options, &m->backward, err);
    return rc;
}

/* How items share an image of n * h rows of w pixels: see "Ownership" in pool.cl. */
typedef struct share {
    int span, lanes;
    cln_range range;
} share;

static share share_of(const cln_node *node, int h, int w, int c, int n)
{
    const bool vector = node->tune.cls == CLN_CLASS_VECTOR;
    share s = {.span = vector ? w : 1, .lanes = vector ? 1 : c / node->tune.v};
    s.range = cln_range3((size_t)cln_div_up(w, s.span) * s.lanes, (size_t)h, (size_t)n,
                         (size_t)node->tune.local);
    return s;
}

static int forward_pool(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const pool_impl *m = node->impl;
    const cln_shape in = node->layer->in[0], out = node->layer->out;
    const window q = window_of(node->layer);
    const share s = share_of(node, out.h, out.w, out.c, pass->n);
    return cln_run(&m->forward, s.range, err, CLN_MEM(node->x[0]), CLN_MEM(node->y), CLN_INT(in.h),
                   CLN_INT(in.w), CLN_INT(in.c), CLN_INT(out.h), CLN_INT(out.w), CLN_INT(q.k),
                   CLN_INT(q.stride), CLN_INT(q.pad), CLN_INT(s.span), CLN_INT(s.lanes));
}

static int backward_max(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const pool_impl *m = node->impl;
    const cln_shape in = node->layer->in[0], out = node->layer->out;
    const window q = window_of(node->layer);
    const share s = share_of(node, in.h, in.w, in.c, pass->n);
    if (!node->dx[0].mem)
        return CLN_OK;
    return cln_run(&m->backward, s.range, err, CLN_MEM(node->x[0]), CLN_MEM(node->dy),
                   CLN_MEM(node->dx[0]), CLN_INT(in.h), CLN_INT(in.w), CLN_INT(in.c),
                   CLN_INT(out.h), CLN_INT(out.w), CLN_INT(q.k), CLN_INT(q.stride), CLN_INT(q.pad),
                   CLN_INT(s.span), CLN_INT(s.lanes), CLN_INT(node->accumulate[0]));
}

static int backward_avg(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const pool_impl *m = node->impl;
    const cln_shape in = node->layer->in[0], out = node->layer->out;
    const window q = window_of(node->layer);
    const share s = share_of(node, in.h, in.w, in.c, pass->n);
    if (!node->dx[0].mem)
        return CLN_OK;
    return cln_run(&m->backward, s.range, err, CLN_MEM(node->dy), CLN_MEM(node->dx[0]),
                   CLN_INT(in.h), CLN_INT(in.w), CLN_INT(in.c), CLN_INT(out.h), CLN_INT(out.w),
                   CLN_INT(q.k), CLN_INT(q.stride), CLN_INT(q.pad), CLN_INT(s.span),
                   CLN_INT(s.lanes), CLN_INT(node->accumulate[0]));
}

static int forward_gap(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const pool_impl *m = node->impl;
    const cln_shape in = node->layer->in[0];
    const share s = share_of(node, 1, 1, in.c, pass->n);
    return cln_run(&m->forward,
                   cln_range3((size_t)s.lanes, (size_t)pass->n, 1, (size_t)node->tune.local), err,
                   CLN_MEM(node->x[0]), CLN_MEM(node->y), CLN_INT(in.h), CLN_INT(in.w),
                   CLN_INT(in.c), CLN_INT(s.lanes));
}

static int backward_gap(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const pool_impl *m = node->impl;
    const cln_shape in = node->layer->in[0];
    const share s = share_of(node, in.h, in.w, in.c, pass->n);
    if (!node->dx[0].mem)
        return CLN_OK;
    return cln_run(&m->backward, s.range, err, CLN_MEM(node->dy), CLN_MEM(node->dx[0]),
                   CLN_INT(in.h), CLN_INT(in.w), CLN_INT(in.c), CLN_INT(s.span), CLN_INT(s.lanes),
                   CLN_INT(node->accumulate[0]));
}

static cln_absorb absorb_max(const cln_layer *layer)
{
    const window q = window_of(layer);
    const bool fits = q.k == 2 && q.stride == 2 && q.pad == 0 && layer->in[0].h % 2 == 0 &&
                      layer->in[0].w % 2 == 0;
    return fits ? CLN_ABSORB_POOL2 : CLN_ABSORB_NO;
}

static const cln_attr attrs_pool[] = {
    {"k", NAN, 1, 11, true, "height and width of the window"},
    {"stride", 0, 0, 11, true, "step between windows; 0: k"},
    {"pad", 0, 0, 5, true, "pixels around the image; at most k/2"},
    {0}};

#define POOL .inputs = 1, .cost = cost_pool, .build = build_pool, .destroy = destroy_pool

const cln_op cln_op_maxpool = {.word = "maxpool",
                               .help = "max pooling",
                               .attrs = attrs_pool,
                               POOL,
                               .shape = shape_pool,
                               .memory = memory_max,
                               .forward = forward_pool,
                               .backward = backward_max,
                               .absorb = absorb_max};
const cln_op cln_op_avgpool = {.word = "avgpool",
                               .help = "average pooling; padding counts",
                               .attrs = attrs_pool,
                               POOL,
                               .shape = shape_pool,
                               .forward = forward_pool,
                               .backward = backward_avg};
const cln_op cln_op_gap = {.word = "gap",
                           .help = "global average pooling, to 1x1",
                           POOL,
                           .shape = shape_gap,
                           .forward = forward_gap,
                           .backward = backward_gap};
