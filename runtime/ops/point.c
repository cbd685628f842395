/* Elementwise layers: residual addition and dropout (cl/point.cl has the formulas).
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
    int chunk;
} point_impl;

static void destroy_point(cln_node *node)
{
    point_impl *m = node->impl;
    if (!m)
        return;
    cln_kernel_free(&m->main);
    cln_kernel_free(&m->copy);
    free(m);
    node->impl = NULL;
}

/* The arrays are flat, so the vector may be wider than what divides the channels. */
static int build_point(cln_node *node, cln_error *err)
{
    const cln_shape in = node->layer->in[0];
    const bool vector = node->tune.cls == CLN_CLASS_VECTOR, add = node->layer->op == &cln_op_add;
    char options[32];
    point_impl *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    node->impl = m;
    m->chunk = vector ? CHUNK : 4;
    snprintf(options, sizeof options, "-D V=%d",
             cln_tune_width(&node->dev->info, node->tune.cls, in.h * in.w * in.c));
    int rc = cln_kernel_new(node->dev, "point.cl", add ? "point_fwd_add" : "point_dropout", options,
                            &m->main, err);
    return rc ? rc : cln_kernel_new(node->dev, "point.cl", "point_copy", options, &m->copy, err);
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

static int shape_add(cln_layer *layer, cln_error *err)
{
    const cln_shape a = layer->in[0], b = layer->in[1];
    if (a.h != b.h || a.w != b.w || a.c != b.c)
        return CLN_FAIL(err, CLN_ERR_MODEL, "cannot add an image of %dx%dx%d and one of %dx%dx%d",
                        a.h, a.w, a.c, b.h, b.w, b.c);
    layer->out = a;
    return check_size(layer, err);
}

static void cost_add(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double n = (double)cln_shape_count(layer->in[0]), b = n * sizeof(float);
    cost[CLN_COST_FORWARD] = (cln_cost){n, 3 * b};
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){0, 3 * b};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
}

static int forward_add(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const point_impl *m = node->impl;
    const int count = count_of(node, pass);
    return cln_run(&m->main, range_of(node, count), err, CLN_MEM(node->x[0]), CLN_MEM(node->x[1]),
                   CLN_MEM(node->y), CLN_INT(count), CLN_INT(m->chunk));
}

static int backward_add(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const int count = count_of(node, pass);
    int rc = CLN_OK;
    for (int k = 0; k < 2 && !rc; k++)
        rc = pass_on(node, node->dy, node->dx[k], node->accumulate[k], count, err);
    return rc;
}

const cln_op cln_op_add = {
    .word = "add",
    .help = "adds the output of a labelled layer",
    .inputs = 2,
    .shape = shape_add,
    .cost = cost_add,
    .build = build_point,
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
    .build = build_point,
    .destroy = destroy_point,
    .forward = forward_dropout,
    .backward = backward_dropout,
};
