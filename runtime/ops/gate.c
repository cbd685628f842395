/* The sigmoid, and scaling the channels of a labelled image: with gap and dense, squeeze and excitation (Hu, Shen & Sun
 * 2018). cl/gate.cl has the formulas. */
#include "op.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

extern const cln_op cln_op_sigmoid, cln_op_scale;

enum { CHUNK = 4096 }; /* floats an item owns in the vector class: 16 KiB */

typedef struct gate {
    cln_kernel forward, backward;
    int chunk, lanes; /* sigmoid: elements; scale: pixels */
} gate;

static void destroy_gate(cln_node *node)
{
    gate *m = node->impl;
    if (!m)
        return;
    cln_kernel_free(&m->forward);
    cln_kernel_free(&m->backward);
    free(m);
    node->impl = NULL;
}

static int build_gate(cln_node *node, const char *forward, const char *backward, int v,
                      cln_error *err)
{
    char options[32];
    gate *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    node->impl = m;
    snprintf(options, sizeof options, "-D V=%d", v);
    int rc = cln_kernel_new(node->dev, "stages.cl", forward, options, &m->forward, err);
    if (!rc && node->dy.mem)
        rc = cln_kernel_new(node->dev, "stages.cl", backward, options, &m->backward, err);
    return rc;
}

static bool is_vector(const cln_node *node)
{
    return node->tune.cls == CLN_CLASS_VECTOR;
}

/* ---- sigmoid --------------------------------------------------------------------------------- */

static int shape_sigmoid(cln_layer *layer, cln_error *err)
{
    layer->out = layer->in[0];
    if (cln_shape_count(layer->in[0]) > INT_MAX - CHUNK)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "a batch of %d makes more than 2^31 values; use a smaller one",
                        layer->in[0].n);
    return CLN_OK;
}

static void cost_sigmoid(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double n = (double)cln_shape_count(layer->in[0]), b = n * sizeof(float);
    cost[CLN_COST_FORWARD] = (cln_cost){4 * n, 2 * b};
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){3 * n, 3 * b};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
}

static void memory_sigmoid(const cln_node *node, cln_memory *out)
{
    (void)node;
    out->keeps_y = true;
}

static int build_sigmoid(cln_node *node, cln_error *err)
{
    const cln_shape in = node->layer->in[0];
    const int v = cln_tune_width(&node->dev->info, node->tune.cls, in.h * in.w * in.c);
    int rc = build_gate(node, "gate_fwd_sigmoid", "gate_bwd_sigmoid", v, err);
    if (!rc)
        ((gate *)node->impl)->chunk = is_vector(node) ? CHUNK : 4;
    return rc;
}

static cln_range elements(const cln_node *node, int count)
{
    const gate *m = node->impl;
    return cln_range1((size_t)cln_div_up(count, m->chunk), (size_t)node->tune.local);
}

static int forward_sigmoid(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const gate *m = node->impl;
    const cln_shape in = node->layer->in[0];
    const int count = pass->n * in.h * in.w * in.c;
    return cln_run(&m->forward, elements(node, count), err, CLN_MEM(node->x[0]), CLN_MEM(node->y),
                   CLN_INT(count), CLN_INT(m->chunk));
}

static int backward_sigmoid(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const gate *m = node->impl;
    const cln_shape in = node->layer->in[0];
    const int count = pass->n * in.h * in.w * in.c;
    if (!node->dx[0].mem)
        return CLN_OK;
    return cln_run(&m->backward, elements(node, count), err, CLN_MEM(node->y), CLN_MEM(node->dy),
                   CLN_MEM(node->dx[0]), CLN_INT(count), CLN_INT(m->chunk),
                   CLN_INT(node->accumulate[0]));
}

const cln_op cln_op_sigmoid = {
    .word = "sigmoid",
    .help = "1 / (1 + exp(-x))",
    .inputs = 1,
    .shape = shape_sigmoid,
    .cost = cost_sigmoid,
    .memory = memory_sigmoid,
    .build = build_sigmoid,
    .destroy = destroy_gate,
    .forward = forward_sigmoid,
    .backward = backward_sigmoid,
};

/* ---- scale ----------------------------------------------------------------------------------- */

static int shape_scale(cln_layer *layer, cln_error *err)
{
    const cln_shape s = layer->in[0], x = layer->in[1];
    if (layer->input[0] == layer->input[1])
        return CLN_FAIL(err, CLN_ERR_MODEL, "a layer cannot scale itself");
    if (s.h != 1 || s.w != 1 || s.c != x.c)
        return CLN_FAIL(
            err, CLN_ERR_MODEL,
            "to scale an image of %dx%dx%d takes 1x1x%d factors from the line above, not"
            " %dx%dx%d",
            x.h, x.w, x.c, x.c, s.h, s.w, s.c);
    layer->out = x;
    return CLN_OK;
}

static void cost_scale(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double n = (double)cln_shape_count(layer->in[1]), b = n * sizeof(float);
    const double s = (double)cln_shape_count(layer->in[0]) * sizeof(float);
    cost[CLN_COST_FORWARD] = (cln_cost){n, 2 * b + s};
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){3 * n, 3 * b + 2 * s};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
}

static void memory_scale(const cln_node *node, cln_memory *out)
{
    (void)node;
    out->keeps_x = true;
}

static int build_scale(cln_node *node, cln_error *err)
{
    const int c = node->layer->out.c;
    int rc = build_gate(node, "gate_fwd_scale", "gate_bwd_scale", node->tune.v, err);
    if (rc)
        return rc;
    gate *m = node->impl;
    m->chunk = !is_vector(node) ? 1 : c < CHUNK ? CHUNK / c : 1;
    m->lanes = is_vector(node) ? 1 : c;
    return CLN_OK;
}

static int forward_scale(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const gate *m = node->impl;
    const cln_shape out = node->layer->out;
    const int pixels = out.h * out.w;
    return cln_run(&m->forward,
                   cln_range3((size_t)cln_div_up(pixels, m->chunk) * (size_t)m->lanes,
                              (size_t)pass->n, 1, (size_t)node->tune.local),
                   err, CLN_MEM(node->x[0]), CLN_MEM(node->x[1]), CLN_MEM(node->y), CLN_INT(pixels),
                   CLN_INT(out.c), CLN_INT(m->chunk), CLN_INT(m->lanes));
}

static int backward_scale(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const gate *m = node->impl;
    const cln_shape out = node->layer->out;
    return cln_run(
        &m->backward,
        cln_range3((size_t)(out.c / node->tune.v), (size_t)pass->n, 1, (size_t)node->tune.local),
        err, CLN_MEM(node->x[0]), CLN_MEM(node->x[1]), CLN_MEM(node->dy), CLN_MEM(node->dx[0]),
        CLN_MEM(node->dx[1]), CLN_INT(out.h * out.w), CLN_INT(out.c),
        CLN_INT(node->dx[0].mem != NULL), CLN_INT(node->dx[1].mem != NULL),
        CLN_INT(node->accumulate[0]), CLN_INT(node->accumulate[1]));
}

const cln_op cln_op_scale = {
    .word = "scale",
    .help = "multiplies the channels of a labelled layer's output by 1x1 factors",
    .inputs = 2,
    .shape = shape_scale,
    .cost = cost_scale,
    .memory = memory_scale,
    .build = build_scale,
    .destroy = destroy_gate,
    .forward = forward_scale,
    .backward = backward_scale,
};
