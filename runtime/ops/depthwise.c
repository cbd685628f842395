/* Depthwise convolution: a kernel for each channel (Sifre & Mallat 2013; Howard et al. 2017). cl/depthwise.cl has the
 * mathematics and the vector class's kernels, cl/depthwise_simt.cl those of the SIMT class. */
#include "conv.h"

#include <stdio.h>
#include <stdlib.h>

extern const cln_op cln_op_dwconv;

enum {
    STRIP_BYTES = 32768, /* of the output: an item's, which the statistics read again */
    PARTS_BYTES = 16384, /* of x and dy under one visit of all channels */
    CHUNK = 4,           /* images in a partial sum of dw, of the vector class */
    CHUNK_PIXELS = 32    /* outputs in one of the SIMT class, at least */
};

typedef struct depthwise {
    cln_kernel fwd, bwd_data, bwd_params, sum;
} depthwise;

static cln_conv_shape shape_of(const cln_layer *layer)
{
    cln_conv_shape s = cln_conv_shape_of(layer);
    s.co = s.ci;
    s.depthwise = true;
    return s;
}

static bool is_vector(const cln_node *node)
{
    return node->tune.cls == CLN_CLASS_VECTOR;
}

/* ---- the layer ------------------------------------------------------------------------------- */

static int shape_dwconv(cln_layer *layer, cln_error *err)
{
    cln_conv_shape s = shape_of(layer);
    int rc = cln_conv_window(&s, err);
    layer->out = (cln_shape){layer->in[0].n, s.ho, s.wo, s.co};
    return rc;
}

static void params_dwconv(const cln_layer *layer, cln_params *out)
{
    const cln_conv_shape s = shape_of(layer);
    out->param[0] =
        (cln_param){"weight", {s.k, s.k, 1, s.co}, 4, CLN_INIT_KAIMING, s.k * s.k, true};
    out->param[1] = (cln_param){"bias", {s.co}, 1, CLN_INIT_ZERO, 0, false};
    out->n_params = s.bias ? 2 : 1;
}

static void cost_dwconv(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const cln_conv_shape s = shape_of(layer);
    const double x = (double)cln_shape_count(layer->in[0]), y = (double)cln_shape_count(layer->out);
    const double w = (double)(s.k * s.k + s.bias) * s.co, flops = 2.0 * y * s.k * s.k;
    const double bias = s.bias ? y : 0.0;
    cost[CLN_COST_FORWARD] = (cln_cost){flops + bias, sizeof(float) * (x + y + w)};
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){flops, sizeof(float) * (x + y + w)};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){flops + bias, sizeof(float) * (x + y + w)};
}

static size_t param_count(const cln_node *node, const cln_conv_shape *s)
{
    return (size_t)(s->k * s->k + (is_vector(node) || s->bias)) * (size_t)s->co;
}

/* Of the SIMT class: rows of outputs in a partial sum of dw. By shape alone, never by what the device or this batch is, but
 * where cln_conv_max_chunks allows no more sums: then by the batch's capacity, too. */
static int chunk_rows(const cln_node *node, const cln_conv_shape *s)
{
    const int rows = node->layer->in[0].n * s->ho;
    return cln_max(cln_div_up(rows, cln_conv_max_chunks(param_count(node, s))), cln_div_up(CHUNK_PIXELS, s->wo));
}

/* Partial sums of dw of n images. */
static int chunks_of(const cln_node *node, const cln_conv_shape *s, int n)
{
    return is_vector(node) ? cln_div_up(n, CHUNK) : cln_div_up(n * s->ho, chunk_rows(node, s));
}

static void memory_dwconv(const cln_node *node, cln_memory *out)
{
    const cln_conv_shape s = shape_of(node->layer);
    out->keeps_x = true;
    if (!node->inference)
        out->scratch = (size_t)chunks_of(node, &s, node->layer->in[0].n) * param_count(node, &s) * sizeof(float);
}

/* Rows of an image of `height` rows of `width` pixels that an item owns: a power of two, or all. */
static int rows_of(int height, int width, int channels, int bytes)
{
    int rows = 1;
    while (rows < height && 2.0 * rows * width * channels * sizeof(float) <= bytes)
        rows *= 2;
    return rows < height ? rows : height;
}

static int stat_rows_dwconv(const cln_node *node)
{
    const cln_shape out = node->layer->out;
    return is_vector(node) ? rows_of(out.h, out.w, out.c, STRIP_BYTES) : 0;
}

static int sum_rows_dwconv(const cln_node *node, const cln_stage *stage)
{
    const cln_shape in = node->layer->in[0];
    if (!is_vector(node) || cln_reads_data(node))
        return 0;
    return rows_of(in.h, in.w, in.c, STRIP_BYTES) * stage->pool;
}

/* ---- kernels --------------------------------------------------------------------------------- */

static void destroy_dwconv(cln_node *node)
{
    depthwise *m = node->impl;
    if (!m)
        return;
    cln_kernel_free(&m->fwd);
    cln_kernel_free(&m->bwd_data);
    cln_kernel_free(&m->bwd_params);
    cln_kernel_free(&m->sum);
    free(m);
    node->impl = NULL;
}

static int build_dwconv(cln_node *node, cln_error *err)
{
    const bool vector = is_vector(node), data = node->dy.mem && node->dx[0].mem,
               params = node->dy.mem && node->grad[0].mem;
    const char *file = vector ? "depthwise.cl" : "depthwise_simt.cl";
    char options[96] = "", width[CLN_VECTOR_OPTIONS], act[16];
    depthwise *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    node->impl = m;
    if (vector)
        snprintf(options, sizeof options, "-D V=%d -D K=%d%s", node->tune.v, cln_layer_int(node->layer, "k"),
                 cln_conv_act_option(node, act));
    cln_tune_wide_options(&node->tune, cln_tune_wide(&node->tune, node->layer->in[0].c), width);
    if (!vector)
        snprintf(options, sizeof options, "%s -D K=%d -D S=%d", width, cln_layer_int(node->layer, "k"),
                 cln_layer_int(node->layer, "stride"));
    int rc = cln_kernel_new(node->dev, file, vector ? "depthwise_fwd" : "depthwise_fwd_simt",
                            options, &m->fwd, err);
    if (!rc && data)
        rc = cln_kernel_new(node->dev, file,
                            vector ? "depthwise_bwd_data" : "depthwise_bwd_data_simt", options,
                            &m->bwd_data, err);
    if (!rc && params)
        rc = cln_kernel_new(node->dev, file,
                            vector ? "depthwise_bwd_params" : "depthwise_bwd_params_simt", options,
                            &m->bwd_params, err);
    if (!rc && params)
        rc = cln_kernel_new(node->dev, vector ? file : "plain.cl",
                            vector ? "conv_bwd_params_sum" : "conv_bwd_reduce_simt", vector ? options : "",
                            &m->sum, err);
    return rc;
}

/* Of the SIMT class: items for a pixel. */
static size_t lanes_of(const cln_node *node)
{
    const int c = node->layer->in[0].c;
    return (size_t)(c / cln_tune_wide(&node->tune, c));
}

static int forward_dwconv(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const depthwise *m = node->impl;
    const cln_conv_shape s = shape_of(node->layer);
    const size_t n = (size_t)pass->n, local = (size_t)node->tune.local;
    if (!is_vector(node))
        return cln_run(&m->fwd, cln_range3((size_t)s.ho * s.wo * lanes_of(node), n, 1, local), err,
                       CLN_MEM(node->x[0]), CLN_MEM(node->param[0]), CLN_MEM(node->param[1]),
                       CLN_MEM(node->y), CLN_INT(s.h), CLN_INT(s.w), CLN_INT(s.ho), CLN_INT(s.wo),
                       CLN_INT(s.co), CLN_INT(s.pad), CLN_INT(s.bias));
    const int rows = stat_rows_dwconv(node);
    const cln_tensor stats = node->stats_for ? node->stats_for->stats : (cln_tensor){0};
    return cln_run(&m->fwd, cln_range3((size_t)cln_div_up(s.ho, rows), n, 1, 1), err,
                   CLN_MEM(node->x[0]), CLN_MEM(node->param[0]), CLN_MEM(node->param[1]),
                   CLN_MEM(node->y), CLN_MEM(stats), CLN_INT(s.h), CLN_INT(s.w), CLN_INT(s.ho),
                   CLN_INT(s.wo), CLN_INT(s.co), CLN_INT(s.stride), CLN_INT(s.pad), CLN_INT(rows),
                   CLN_INT(s.bias), CLN_INT(node->stats_for != NULL));
}

static int backward_data(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const depthwise *m = node->impl;
    const cln_conv_shape s = shape_of(node->layer);
    const size_t n = (size_t)pass->n, local = (size_t)node->tune.local;
    if (!is_vector(node))
        return cln_run(&m->bwd_data, cln_range3((size_t)s.h * s.w * lanes_of(node), n, 1, local), err,
                       CLN_MEM(node->dy), CLN_MEM(node->param[0]), CLN_MEM(node->dx[0]),
                       CLN_INT(s.h), CLN_INT(s.w), CLN_INT(s.ho), CLN_INT(s.wo), CLN_INT(s.co),
                       CLN_INT(s.pad), CLN_INT(node->accumulate[0]));
    const int rows = rows_of(s.h, s.w, s.co, STRIP_BYTES);
    const bool sums = node->sums_for && node->sums_for->norm;
    const cln_stage *g = sums ? node->sums_for : &cln_no_stage;
    return cln_run(&m->bwd_data, cln_range3((size_t)cln_div_up(s.h, rows), n, 1, 1), err,
                   CLN_MEM(node->dy), CLN_MEM(node->param[0]), CLN_MEM(node->dx[0]), CLN_MEM(g->z),
                   CLN_MEM(g->mu), CLN_MEM(g->a), CLN_MEM(g->beta), CLN_MEM(g->sums), CLN_INT(s.ho),
                   CLN_INT(s.wo), CLN_INT(s.h), CLN_INT(s.w), CLN_INT(s.co), CLN_INT(s.stride),
                   CLN_INT(s.pad), CLN_INT(rows), CLN_INT(node->accumulate[0]), CLN_INT(sums),
                   CLN_INT(g->coef_stride), CLN_INT(g->relu), CLN_INT(g->pool));
}

static int params_simt(cln_node *node, const cln_conv_shape *s, int n, cln_error *err)
{
    const depthwise *m = node->impl;
    const int chunks = chunks_of(node, s, n);
    int rc = cln_run(&m->bwd_params, cln_range3((size_t)s->co, (size_t)chunks, 1, (size_t)node->tune.local), err,
                     CLN_MEM(node->x[0]), CLN_MEM(node->dy), CLN_MEM(node->scratch), CLN_INT(n),
                     CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co),
                     CLN_INT(s->pad), CLN_INT(s->bias), CLN_INT(chunk_rows(node, s)));
    return rc ? rc : cln_conv_reduce(&m->sum, node, s->k * s->k * s->co, s->bias ? s->co : 0, chunks, err);
}

static int backward_params(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const depthwise *m = node->impl;
    const cln_conv_shape s = shape_of(node->layer);
    if (!is_vector(node))
        return params_simt(node, &s, pass->n, err);
    const int chunks = chunks_of(node, &s, pass->n), count = s.k * s.k * s.co;
    const int rows = rows_of(s.ho, s.w * s.stride + s.wo, s.co, PARTS_BYTES);
    int rc = cln_run(&m->bwd_params, cln_range1((size_t)chunks, 1), err, CLN_MEM(node->x[0]),
                     CLN_MEM(node->dy), CLN_MEM(node->scratch), CLN_INT(pass->n), CLN_INT(CHUNK),
                     CLN_INT(rows), CLN_INT(s.bias), CLN_INT(s.h), CLN_INT(s.w), CLN_INT(s.ho),
                     CLN_INT(s.wo), CLN_INT(s.co), CLN_INT(s.stride), CLN_INT(s.pad));
    return rc ? rc : cln_conv_sum_parts(&m->sum, node, chunks, count, s.co, s.bias, node->tune.v, err);
}

static int backward_dwconv(cln_node *node, const cln_pass *pass, cln_error *err)
{
    int rc = CLN_OK;
    if (node->grad[0].mem && !(pass->skip & CLN_SKIP_PARAMS))
        rc = backward_params(node, pass, err);
    if (!rc && node->dx[0].mem && !(pass->skip & CLN_SKIP_DATA))
        rc = backward_data(node, pass, err);
    return rc;
}

static const cln_attr attrs_dwconv[] = {
    {"k", 3, 1, 11, true, "height and width of the kernel; odd"},
    {"stride", 1, 1, 4, true, "step between outputs"},
    {"pad", -1, -1, 10, true, "zeros around the image; -1: k/2, which keeps the size at stride 1"},
    {"bias", 0, 0, 1, true, "1: adds a trained constant to each channel"},
    {0}};

const cln_op cln_op_dwconv = {
    .word = "dwconv",
    .help = "depthwise convolution: a kernel for each channel",
    .attrs = attrs_dwconv,
    .inputs = 1,
    .shape = shape_dwconv,
    .params = params_dwconv,
    .cost = cost_dwconv,
    .memory = memory_dwconv,
    .build = build_dwconv,
    .destroy = destroy_dwconv,
    .forward = forward_dwconv,
    .backward = backward_dwconv,
    .stat_rows = stat_rows_dwconv,
    .sum_rows = sum_rows_dwconv,
};
