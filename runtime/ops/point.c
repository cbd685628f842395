/* Elementwise layers: residual addition and dropout (cl/point.cl has the formulas).
 * Addition with a stride: the parameter-free shortcut of He, Zhang, Ren & Sun 2016 (option A of section 4.1).
 * Dropout: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014, scaled in training as
 * in PyTorch. */
#include "op.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

extern const cln_op cln_op_add, cln_op_dropout;

enum { CHUNK = 4096 }; /* floats an item owns in the vector class: 16 KiB */

typedef struct point_impl {
    cln_kernel main; /* add, or dropout */
    cln_kernel copy; /* gradients and dropout's identity */
    cln_kernel back; /* add with a stride: the gradient of the labelled image */
    int chunk;
} point_impl;

static void destroy_point(cln_node *node)
{
    point_impl *m = node->impl;
    if (!m)
        return;
    cln_kernel_free(&m->main);
    cln_kernel_free(&m->copy);
    cln_kernel_free(&m->back);
    free(m);
    node->impl = NULL;
}

/* The arrays are flat, so the vector may be wider than what divides the channels. `main`: NULL where there is none. */
static int build_point(cln_node *node, const char *main, cln_error *err)
{
    const cln_shape in = node->layer->in[0];
    const bool vector = node->tune.cls == CLN_CLASS_VECTOR;
    char options[CLN_VECTOR_OPTIONS];
    point_impl *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    node->impl = m;
    m->chunk = vector ? CHUNK : 4;
    cln_tune flat = node->tune;
    flat.v = cln_tune_width(&node->dev->info, flat.cls, in.h * in.w * in.c);
    cln_tune_wide_options(&flat, cln_tune_wide(&flat, in.h * in.w * in.c), options);
    int rc = main ? cln_kernel_new(node->dev, "stages.cl", main, options, &m->main, err) : CLN_OK;
    return rc ? rc : cln_kernel_new(node->dev, "stages.cl", "point_copy", options, &m->copy, err);
}

static int count_of(const cln_node *node, const cln_pass *pass)
{
    const cln_shape in = node->layer->in[0];
    return pass->n * in.h * in.w * in.c;
}

static cln_range range_of(const cln_node *node, int count)
{
    const point_impl *m = node->impl;
    return cln_range1((size_t)cln_div_up(count, m->chunk), (size_t)node->tune.local);
}

/* to = from, or to += from; nothing where nobody wants it. */
static int pass_on(cln_node *node, cln_tensor from, cln_tensor to, bool accumulate, int count,
                   cln_error *err)
{
    const point_impl *m = node->impl;
    if (!to.mem)
        return CLN_OK;
    return cln_run(&m->copy, range_of(node, count), err, CLN_MEM(from), CLN_MEM(to), CLN_INT(count),
                   CLN_INT(m->chunk), CLN_INT(accumulate));
}

static int check_size(const cln_layer *layer, cln_error *err)
{
    if (cln_shape_count(layer->in[0]) > INT_MAX - CHUNK)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "a batch of %d makes more than 2^31 values; use a smaller one",
                        layer->in[0].n);
    return CLN_OK;
}

/* ---- add ------------------------------------------------------------------------------------- */

/* Of the labelled image every stride-th row and column is added. */
static int stride_of(const cln_layer *layer)
{
    return cln_layer_int(layer, "stride");
}

static int shape_add(cln_layer *layer, cln_error *err)
{
    const cln_shape a = layer->in[0], b = layer->in[1];
    const int stride = stride_of(layer), h = cln_div_up(b.h, stride), w = cln_div_up(b.w, stride);
    if (stride == 1 && (a.h != b.h || a.w != b.w || a.c != b.c))
        return CLN_FAIL(err, CLN_ERR_MODEL, "cannot add an image of %dx%dx%d and one of %dx%dx%d",
                        a.h, a.w, a.c, b.h, b.w, b.c);
    if (a.h != h || a.w != w || a.c < b.c)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "with stride=%d an image of %dx%dx%d gives one of %dx%dx%d, which cannot be"
                        " added to %dx%dx%d",
                        stride, b.h, b.w, b.c, h, w, b.c, a.h, a.w, a.c);
    layer->out = a;
    return check_size(layer, err);
}

static void cost_add(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double n = (double)cln_shape_count(layer->in[0]), f = sizeof(float);
    const double added = n * layer->in[1].c / layer->in[0].c; /* values of the labelled image */
    const double labelled = (double)cln_shape_count(layer->in[1]);
    cost[CLN_COST_FORWARD] = (cln_cost){added, f * (2 * n + added)};
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){0, f * (2 * n + labelled)};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
}

/* An item of the strided kernels: a row, or a value in the SIMT class. */
typedef struct strided {
    int chunk, lanes;
} strided;

static strided strided_items(const cln_node *node, int width, int channels)
{
    const bool vector = node->tune.cls == CLN_CLASS_VECTOR;
    return (strided){vector ? width : 1, vector ? 1 : channels};
}

static int build_add(cln_node *node, cln_error *err)
{
    const cln_layer *layer = node->layer;
    const bool strides = stride_of(layer) > 1;
    int rc = build_point(node, strides ? NULL : "point_fwd_add", err);
    if (rc || !strides)
        return rc;
    point_impl *m = node->impl;
    const int v = cln_tune_width(&node->dev->info, node->tune.cls, layer->in[0].c);
    const int w = cln_tune_width(&node->dev->info, node->tune.cls, layer->in[1].c);
    char options[32];
    snprintf(options, sizeof options, "-D V=%d", v < w ? v : w);
    rc = cln_kernel_new(node->dev, "stages.cl", "point_fwd_add_strided", options, &m->main, err);
    return rc ? rc
              : cln_kernel_new(node->dev, "stages.cl", "point_bwd_add_strided", options, &m->back,
                               err);
}

static int forward_add(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const point_impl *m = node->impl;
    const cln_shape in = node->layer->in[1], out = node->layer->out;
    const int count = count_of(node, pass), pixels = pass->n * out.h * out.w;
    if (stride_of(node->layer) == 1)
        return cln_run(&m->main, range_of(node, count), err, CLN_MEM(node->x[0]),
                       CLN_MEM(node->x[1]), CLN_MEM(node->y), CLN_INT(count), CLN_INT(m->chunk));
    const strided item = strided_items(node, out.w, out.c);
    return cln_run(
        &m->main,
        cln_range1((size_t)cln_div_up(pixels, item.chunk) * item.lanes, (size_t)node->tune.local),
        err, CLN_MEM(node->x[0]), CLN_MEM(node->x[1]), CLN_MEM(node->y), CLN_INT(pixels),
        CLN_INT(out.h), CLN_INT(out.w), CLN_INT(out.c), CLN_INT(in.h), CLN_INT(in.w), CLN_INT(in.c),
        CLN_INT(stride_of(node->layer)), CLN_INT(item.chunk), CLN_INT(item.lanes));
}

/* The gradient of the labelled image: dy where it was read, else 0. */
static int spread(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const point_impl *m = node->impl;
    const cln_shape in = node->layer->in[1], out = node->layer->out;
    const int pixels = pass->n * in.h * in.w;
    const strided item = strided_items(node, in.w, in.c);
    if (!node->dx[1].mem)
        return CLN_OK;
    return cln_run(
        &m->back,
        cln_range1((size_t)cln_div_up(pixels, item.chunk) * item.lanes, (size_t)node->tune.local),
        err, CLN_MEM(node->dy), CLN_MEM(node->dx[1]), CLN_INT(pixels), CLN_INT(out.h),
        CLN_INT(out.w), CLN_INT(out.c), CLN_INT(in.h), CLN_INT(in.w), CLN_INT(in.c),
        CLN_INT(stride_of(node->layer)), CLN_INT(item.chunk), CLN_INT(item.lanes),
        CLN_INT(node->accumulate[1]));
}

static int backward_add(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const int count = count_of(node, pass);
    int rc = pass_on(node, node->dy, node->dx[0], node->accumulate[0], count, err);
    if (!rc && stride_of(node->layer) > 1)
        return spread(node, pass, err);
    return rc ? rc : pass_on(node, node->dy, node->dx[1], node->accumulate[1], count, err);
}

static const cln_attr attrs_add[] = {
    {"stride", 1, 1, 4, true,
     "above 1: of the labelled image every so many-th row and column is added; where it has fewer"
     " channels, to the first ones"},
    {0}};

const cln_op cln_op_add = {
    .word = "add",
    .help = "adds the output of a labelled layer",
    .attrs = attrs_add,
    .inputs = 2,
    .shape = shape_add,
    .cost = cost_add,
    .build = build_add,
    .destroy = destroy_point,
    .forward = forward_add,
    .backward = backward_add,
};

/* ---- dropout --------------------------------------------------------------------------------- */

static int shape_dropout(cln_layer *layer, cln_error *err)
{
    layer->out = layer->in[0];
    if (cln_layer_attr(layer, "p") >= 1.0)
        return CLN_FAIL(err, CLN_ERR_MODEL, "p=1 would drop everything");
    return check_size(layer, err);
}

static void cost_dropout(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double n = (double)cln_shape_count(layer->in[0]), b = n * sizeof(float);
    cost[CLN_COST_FORWARD] = cost[CLN_COST_BACKWARD_DATA] = (cln_cost){n, 2 * b};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
}

static int drop(cln_node *node, const cln_pass *pass, cln_tensor from, cln_tensor to,
                bool accumulate, cln_error *err)
{
    const point_impl *m = node->impl;
    const double p = cln_layer_attr(node->layer, "p");
    const int count = count_of(node, pass);
    if (!pass->train)
        return pass_on(node, from, to, accumulate, count, err);
    return cln_run(&m->main, range_of(node, count), err, CLN_MEM(from), CLN_MEM(to), CLN_INT(count),
                   CLN_INT(m->chunk), CLN_INT(accumulate), CLN_FLOAT(p), CLN_FLOAT(1.0 / (1.0 - p)),
                   CLN_INT(node->layer->index), CLN_UINT(pass->seed), CLN_UINT(pass->step));
}

static int build_dropout(cln_node *node, cln_error *err)
{
    return build_point(node, "point_dropout", err);
}

static int forward_dropout(cln_node *node, const cln_pass *pass, cln_error *err)
{
    return drop(node, pass, node->x[0], node->y, false, err);
}

static int backward_dropout(cln_node *node, const cln_pass *pass, cln_error *err)
{
    return node->dx[0].mem ? drop(node, pass, node->dy, node->dx[0], node->accumulate[0], err)
                           : CLN_OK;
}

static const cln_attr attrs_dropout[] = {
    {"p", 0.5, 0, 1, false, "probability that a value becomes zero in training; below 1"}, {0}};

const cln_op cln_op_dropout = {
    .word = "dropout",
    .help = "zeroes values at random in training",
    .attrs = attrs_dropout,
    .inputs = 1,
    .shape = shape_dropout,
    .cost = cost_dropout,
    .build = build_dropout,
    .destroy = destroy_point,
    .forward = forward_dropout,
    .backward = backward_dropout,
};
