/* Winograd convolution for the vector class (see cl/conv_winograd.cl for the mathematics and the layout).
 *
 * As in conv_vector.c, what an item owns follows from the shape and the vector width alone, never from the number
 * of threads. cl/NOTES.md has the measurements. */
#include "conv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ITEM_TILES = 16,    /* of forward and backward-data: u passes through the cache once for so many */
    SUM_TILES = 32      /* of backward-params: acc passes once for so many */
};

/* What an item has. */
typedef struct layout {
    int rows, group, chunk;   /* rows of the output (backward-params: of dy) and images in an item or in a round of it */
    size_t line, vb, mb, acc; /* bytes of local memory */
} layout;

typedef struct conv_winograd {
    cln_conv_shape s;
    int direction;
    int v, m, t;
    layout own;
    cln_kernel weights, main, sum;
    bool one_pass; /* where it pays, backward-data makes what backward-params would, */
    layout pair;   /* with items of this kind: backward-params', with room for backward-data */
    cln_kernel both;
} conv_winograd;

/* What the kernel writes: (h, w, c) from `from` channels. */
typedef struct output {
    int h, w, c, from;
} output;

static output output_of(const cln_conv_shape *s, int direction)
{
    return direction == CLN_CONV_BWD_DATA ? (output){s->h, s->w, s->ci, s->co} : (output){s->ho, s->wo, s->co, s->ci};
}

static size_t larger_size(size_t a, size_t b) { return a > b ? a : b; }

/* Rows that make `wanted` tiles, or all rows of several images. */
static void cut(conv_winograd *c, int wanted)
{
    const output o = output_of(&c->s, c->direction);
    const bool params = c->direction == CLN_CONV_BWD_PARAMS;
    const int tw = cln_div_up(o.w, c->m), th = cln_div_up(o.h, c->m);
    int rows = 1;
    while (rows < th && 2 * rows * tw <= wanted)
        rows *= 2;
    c->own.rows = cln_min(rows, th) * c->m;
    c->own.group = rows >= th && wanted > th * tw ? wanted / (th * tw) : 1;
    c->own.chunk = c->own.group > 4 ? c->own.group : 4 / c->own.group * c->own.group;
    const int unit = params ? 1 : c->t, tiles = cln_div_up(c->own.group * cln_min(rows, th) * tw, unit) * unit;
    const size_t points = (size_t)(c->m + 2) * (c->m + 2), f = sizeof(float);
    c->own.line = (size_t)(c->m + 2) * (tw * c->m + 2) * o.from * f;
    c->own.vb = points * ((size_t)tiles * o.from + c->v) * f;
    c->own.mb = points * ((size_t)tiles * o.c + c->v) * f;
    c->own.acc = params ? points * c->s.ci * c->s.co * f : 0;
}

/* All that follows from the shape; v is 0 where the kernels do not cover it. */
static conv_winograd lay_out(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    const output o = output_of(s, direction);
    conv_winograd c = {.s = *s, .direction = direction};
    if (s->k != 3 || s->stride != 1)
        return c;
    c.v = cln_min(cln_conv_vector_width(info, s->ci), cln_conv_vector_width(info, s->co)); /* powers of 2: divides both */
    if (!c.v)
        return c;
    c.m = cln_min(o.h, o.w) > 2 ? 4 : 2;
    c.t = c.v == 16 ? 8 : 4; /* 16 accumulators out of AVX-512's 32 registers, 8 out of 16 */
    for (int wanted = direction == CLN_CONV_BWD_PARAMS ? SUM_TILES : ITEM_TILES; wanted >= 4; wanted /= 2) {
        cut(&c, wanted);
        if (c.own.line + c.own.vb + c.own.mb + c.own.acc <= info->local_mem)
            return c;
    }
    c.v = 0;
    return c;
}

static bool winograd_supports(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    return info->local_is_global && lay_out(info, s, direction).v > 0;
}

static void winograd_memory(const cln_device_info *info, const cln_conv_shape *s, int n, int direction,
                            size_t *scratch, size_t *saved)
{
    const conv_winograd c = lay_out(info, s, direction);
    const size_t weights = (size_t)s->ci * s->co;
    const bool params = direction == CLN_CONV_BWD_PARAMS;
    *saved = params ? 0 : weights * (size_t)(c.m + 2) * (c.m + 2) * sizeof(float);
    *scratch = 0;
    if (params)
        *scratch = (size_t)cln_div_up(n, c.own.chunk) * (9 * weights + s->co) * sizeof(float);
    if (direction == CLN_CONV_FWD) /* coefficients of the stage before, for each item */
        *scratch = (size_t)cln_div_up(s->ho, c.own.rows) * (size_t)n * 2 * (size_t)s->ci * sizeof(float);
}

static int winograd_strip_rows(const cln_device_info *info, const cln_conv_shape *s, int direction, int pool)
{
    if (direction == CLN_CONV_BWD_PARAMS || !winograd_supports(info, s, direction))
        return 0;
    return lay_out(info, s, direction).own.rows * pool;
}

static bool winograd_derives(const cln_node *node, const cln_stage *stage)
{
    (void)node;
    return stage->pool == 1;
}

static void winograd_destroy(void *state)
{
    conv_winograd *c = state;
    if (!c)
        return;
    cln_kernel_free(&c->both);
    cln_kernel_free(&c->weights);
    cln_kernel_free(&c->main);
    cln_kernel_free(&c->sum);
    free(c);
}

/* Whether backward can make both gradients in one pass, and then with what items. */
static bool in_one_pass(const cln_node *node, const cln_conv_shape *s, layout *pair)
{
    const cln_device_info *info = &node->dev->info;
    if (node->tune.bwd_data != CLN_CONV_WINOGRAD || node->tune.bwd_params != CLN_CONV_WINOGRAD || !node->dx[0].mem ||
        !node->grad[0].mem)
        return false;
    const conv_winograd data = lay_out(info, s, CLN_CONV_BWD_DATA), params = lay_out(info, s, CLN_CONV_BWD_PARAMS);
    if (!data.v || !params.v || data.m != params.m || params.own.group % data.own.group != 0)
        return false;
    *pair = params.own;
    pair->line = larger_size(params.own.line, data.own.line);
    pair->vb = larger_size(params.own.vb, data.own.vb);
    pair->mb = larger_size(params.own.mb, data.own.mb);
    return pair->line + pair->vb + pair->mb + pair->acc <= info->local_mem;
}

static int winograd_create(cln_node *node, const cln_conv_shape *s, int direction, void **state, cln_error *err)
{
    static const char *const names[][3] = {
        {"conv_fwd_winograd", "conv_fwd_winograd_weights", NULL},
        {"conv_bwd_data_winograd", "conv_bwd_data_winograd_weights", "conv_bwd_params_sum"},
        {"conv_bwd_params_winograd", NULL, "conv_bwd_params_sum"}};
    if (!winograd_supports(&node->dev->info, s, direction))
        return CLN_FAIL(err, CLN_ERR_INTERNAL,
                        "the Winograd convolution does not cover this shape; ask supports first");
    conv_winograd *c = malloc(sizeof *c);
    if (!c)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory while building a convolution");
    *c = lay_out(&node->dev->info, s, direction);
    c->one_pass = direction != CLN_CONV_FWD && in_one_pass(node, s, &c->pair);
    cln_kernel *const kernels[] = {&c->main, &c->weights, &c->sum};
    char options[64], act[16];
    snprintf(options, sizeof options, "-D V=%d -D M=%d -D T=%d%s", c->v, c->m, c->t, cln_conv_act_option(node, act));
    for (int i = 0; i < 3; i++) {
        int rc = names[direction][i]
                     ? cln_kernel_new(node->dev, "conv_winograd.cl", names[direction][i], options, kernels[i], err)
                     : CLN_OK;
        if (rc) {
            winograd_destroy(c);
            return rc;
        }
    }
    int rc = c->one_pass && direction == CLN_CONV_BWD_DATA
                 ? cln_kernel_new(node->dev, "conv_winograd.cl", "conv_bwd_winograd", options, &c->both, err)
                 : CLN_OK;
    if (rc) {
        winograd_destroy(c);
        return rc;
    }
    *state = c;
    return CLN_OK;
}

/* Items of forward and backward-data: strips, groups of images. */
static cln_range items_of(const conv_winograd *c, int n)
{
    const output o = output_of(&c->s, c->direction);
    return cln_range3((size_t)cln_div_up(o.h, c->own.rows), (size_t)cln_div_up(n, c->own.group), 1, 1);
}

static int transform_weights(const conv_winograd *c, const cln_node *node, cln_tensor u, const cln_pass *pass, cln_error *err)
{
    const size_t rows = (size_t)(c->direction == CLN_CONV_FWD ? c->s.ci : c->s.co);
    return pass->same_weights ? CLN_OK : cln_run(&c->weights, cln_range1(rows, 1), err, CLN_MEM(node->param[0]), CLN_MEM(u),
                                                 CLN_INT(c->s.ci), CLN_INT(c->s.co));
}

static int run_fwd(const conv_winograd *c, const cln_node *node, cln_tensor u, const cln_pass *pass, cln_error *err)
{
    const int n = pass->n;
    const cln_conv_shape *s = &c->s;
    const cln_tensor stats = node->stats_for ? node->stats_for->stats : (cln_tensor){0};
    int rc = transform_weights(c, node, u, pass, err);
    if (rc)
        return rc;
    const cln_stage *g = node->applies ? node->applies : &cln_no_stage;
    const cln_conv_finish f = cln_conv_finish_of(node);
    return cln_run(&c->main, items_of(c, n), err, CLN_MEM(node->x[0]), CLN_MEM(u), CLN_MEM(node->param[1]),
                   CLN_MEM(f.pool == 2 ? node->scratch : node->y), CLN_MEM(stats), CLN_MEM(node->y), CLN_MEM(g->mu),
                   CLN_MEM(g->a), CLN_MEM(g->beta), CLN_MEM(g->stats), CLN_MEM(g->gamma), CLN_MEM(node->scratch),
                   CLN_LOCAL(c->own.line), CLN_LOCAL(c->own.vb), CLN_LOCAL(c->own.mb), CLN_INT(n), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho), CLN_INT(s->wo),
                   CLN_INT(s->co), CLN_INT(s->pad), CLN_INT(c->own.rows), CLN_INT(c->own.group), CLN_INT(s->bias),
                   CLN_INT(node->stats_for != NULL), CLN_INT(node->applies != NULL), CLN_INT(g->coef_stride),
                   CLN_FLOAT(cln_stage_floor(g)), CLN_FLOAT(f.lo), CLN_INT(f.pool),
                   CLN_INT(g->merged ? g->strip_rows : 0), CLN_INT(g->groups), CLN_FLOAT(g->eps));
}

static int run_bwd_data(const conv_winograd *c, const cln_node *node, cln_tensor u, const cln_pass *pass,
                        cln_error *err)
{
    const int n = pass->n;
    const cln_conv_shape *s = &c->s;
    const bool sums = node->sums_for && node->sums_for->norm;
    const cln_stage *g = sums ? node->sums_for : &cln_no_stage;
    int rc = transform_weights(c, node, u, pass, err);
    if (rc)
        return rc;
    return cln_run(&c->main, items_of(c, n), err, CLN_MEM(node->dy), CLN_MEM(u), CLN_MEM(node->dx[0]), CLN_MEM(g->z),
                   CLN_MEM(g->mu), CLN_MEM(g->a), CLN_MEM(g->beta), CLN_MEM(g->sums), CLN_LOCAL(c->own.line),
                   CLN_LOCAL(c->own.vb), CLN_LOCAL(c->own.mb), CLN_INT(n), CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co),
                   CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(2 - s->pad), CLN_INT(c->own.rows),
                   CLN_INT(c->own.group), CLN_INT(node->accumulate[0]), CLN_INT(sums), CLN_INT(g->coef_stride),
                   CLN_INT(g->relu), CLN_INT(g->pool));
}

static int run_bwd_params(const conv_winograd *c, const cln_node *node, int n, cln_error *err)
{
    const cln_conv_shape *s = &c->s;
    const cln_stage *g = node->applies ? node->applies : &cln_no_stage;
    const cln_stage *behind = node->behind ? node->behind : &cln_no_stage;
    const int chunks = cln_div_up(n, c->own.chunk), count = 9 * s->ci * s->co;
    int rc = cln_run(&c->main, cln_range1((size_t)chunks, 1), err, CLN_MEM(node->x[0]), CLN_MEM(node->dy),
                     CLN_MEM(node->scratch), CLN_MEM(g->mu), CLN_MEM(g->a), CLN_MEM(g->beta), CLN_LOCAL(c->own.line),
                     CLN_LOCAL(c->own.vb), CLN_LOCAL(c->own.mb), CLN_LOCAL(c->own.acc), CLN_INT(n), CLN_INT(c->own.chunk), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci),
                     CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co), CLN_INT(s->pad), CLN_INT(c->own.rows),
                     CLN_INT(c->own.group), CLN_INT(s->bias), CLN_INT(node->applies != NULL), CLN_INT(g->coef_stride),
                     CLN_FLOAT(cln_stage_floor(g)), CLN_INT(node->dx[0].mem != NULL || s->bias),
                     CLN_CONV_BEHIND(behind, n, s->co));
    return rc ? rc : cln_conv_sum_parts(&c->sum, node, chunks, count, s->co, s->bias, c->v, err);
}

/* Whether both gradients of n images are to come from one pass: it has an item for each chunk of images, which must be enough
 * to keep all cores at work. That may hang on the device, since both ways give the same bits. */
static bool both_at_once(const conv_winograd *c, const cln_node *node, const cln_pass *pass)
{
    enum { ENOUGH = 4 }; /* items a core, so that the last ones do not count */
    if (!c->one_pass || pass->skip)
        return false;
    const int items = cln_div_up(pass->n, c->pair.chunk), cores = (int)node->dev->info.compute_units;
    return items % cores == 0 || items >= ENOUGH * cores;
}

/* The sum of the parts comes after the kernel for both; c: state of backward-data. */
static int run_both(const conv_winograd *c, const cln_node *node, cln_tensor u, const cln_pass *pass, cln_error *err)
{
    const int n = pass->n;
    const cln_conv_shape *s = &c->s;
    const bool sums = node->sums_for && node->sums_for->norm, staged = node->applies != NULL;
    const cln_stage *g = sums ? node->sums_for : staged ? node->applies : &cln_no_stage; /* one and the same stage */
    const cln_stage *behind = node->behind ? node->behind : &cln_no_stage;
    const int chunks = cln_div_up(n, c->pair.chunk);
    int rc = transform_weights(c, node, u, pass, err);
    if (rc)
        return rc;
    rc = cln_run(&c->both, cln_range1((size_t)chunks, 1), err, CLN_MEM(node->x[0]), CLN_MEM(node->dy), CLN_MEM(u),
                 CLN_MEM(node->dx[0]), CLN_MEM(node->scratch), CLN_MEM(g->mu), CLN_MEM(g->a), CLN_MEM(g->beta), CLN_MEM(g->z),
                 CLN_MEM(g->sums), CLN_LOCAL(c->pair.line), CLN_LOCAL(c->pair.vb), CLN_LOCAL(c->pair.mb), CLN_LOCAL(c->pair.acc), CLN_INT(n),
                 CLN_INT(c->pair.chunk), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho), CLN_INT(s->wo),
                 CLN_INT(s->co), CLN_INT(s->pad), CLN_INT(c->pair.rows), CLN_INT(c->pair.group), CLN_INT(c->own.rows), CLN_INT(c->own.group),
                 CLN_INT(s->bias), CLN_INT(node->accumulate[0]), CLN_INT(sums), CLN_INT(staged), CLN_INT(g->coef_stride),
                 CLN_FLOAT(cln_stage_floor(g)), CLN_INT(g->relu), CLN_INT(g->pool), CLN_CONV_BEHIND(behind, n, s->co));
    return rc ? rc : cln_conv_sum_parts(&c->sum, node, chunks, 9 * s->ci * s->co, s->co, s->bias, c->v, err);
}

static int winograd_run(void *state, cln_node *node, cln_tensor saved, const cln_pass *pass, cln_error *err)
{
    const conv_winograd *c = state;
    if (c->direction == CLN_CONV_FWD)
        return run_fwd(c, node, saved, pass, err);
    if (c->direction == CLN_CONV_BWD_DATA)
        return both_at_once(c, node, pass) ? run_both(c, node, saved, pass, err) : run_bwd_data(c, node, saved, pass, err);
    return both_at_once(c, node, pass) ? CLN_OK : run_bwd_params(c, node, pass->n, err);
}

const cln_conv_impl cln_conv_winograd = {
    .supports = winograd_supports,
    .memory = winograd_memory,
    .strip_rows = winograd_strip_rows,
    .derives = winograd_derives,
    .applies = true,
    .merges = true,
    .finishes = 2,
    .pools_scratch = true,
    .create = winograd_create,
    .destroy = winograd_destroy,
    .run = winograd_run,
};
