/* Direct convolution for the vector class (see cl/conv_vector.cl for the mathematics and the tile).
 *
 * What is decided here, by shape and vector width alone, never by the number of threads: the tile (which
 * fixes the program), the strip of rows a work-item owns (which fixes the order of the statistics), and
 * the chunk of images behind one partial sum of dw (which fixes the order of that sum). cl/NOTES.md has
 * the measurements. */
#include "conv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ZERO_FLOATS = 1024,  /* what node->zeros holds */
    ITEM_FLOPS = 400000, /* a work-item of some microseconds */
    STRIP_BYTES =
        16384, /* of the output: the statistics read it again, from the first-level cache */
    DW_STRIP_BYTES = 16384, /* of x and dy: all tiles of backward-params pass over them */
};

/* nv vectors of v channels times p (and p - 1) scalars, in backward-params pw or, over the rows of the window, ps, where
 * a line of scalars is `big` of the longer tiles, then the shorter ones. */
typedef struct conv_tile {
    int v, nv, p, pw, ps, big;
} conv_tile;

typedef struct conv_vector {
    cln_conv_shape s; /* as the kernel sees it: see cut */
    int direction;
    conv_tile tile;
    int cols;  /* of the image that was given */
    int rows;  /* of a strip: of the output, or of dy under one visit of all tiles */
    int chunk; /* images in a partial sum of dw */
    bool span; /* backward-params: a tile reaches over the rows of the window */
    cln_kernel main, helper;
} conv_vector;

int cln_conv_vector_width(const cln_device_info *info, int channels)
{
    const int widest = info->vector_width > 4 ? (int)info->vector_width : 4;
    for (int v = 16; v >= 4; v /= 2)
        if (v <= widest && channels % v == 0)
            return v;
    return 0;
}

/* Whether tiles of p and of p - 1 make up a line. */
static bool covers(int p, int length)
{
    return length >= cln_div_up(length, p) * (p - 1);
}

/* The longest tile, up to `longest`, that covers both lengths together with the next shorter one. */
static int cover(int longest, int length, int other)
{
    int p = longest;
    while (p > 2 && !(covers(p, length) && covers(p, other)))
        p--;
    return p;
}

static bool spans(const cln_conv_shape *s)
{
    return s->ci < 4 && s->k > 1 && s->wo * s->stride * s->ci <= ZERO_FLOATS;
}

/* The vectors of the tile; how a line of scalars is covered follows in cut. */
static conv_tile tile_of(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    /* by nv: as many accumulators as the 16 registers of AVX2 bear */
    static const int longest[] = {0, 8, 5, 4}, longest_dw[] = {0, 8, 6, 4};
    const int channels = direction == CLN_CONV_BWD_DATA ? s->ci : s->co;
    conv_tile t = {.v = cln_conv_vector_width(info, channels)};
    const int vectors = channels / t.v; /* NOLINT(clang-analyzer-core.DivideZero): supports() saw to it */
    t.nv = vectors % 2 == 0 ? 2 : vectors % 3 == 0 ? 3 : 1;
    t.p = longest[t.nv];
    t.pw = longest_dw[t.nv];
    t.ps = 5; /* 5 and 4 of 3x3x3: what a direction leaves as it is, it shares the program of the others for */
    return t;
}

static bool vector_supports(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    if (direction == CLN_CONV_BWD_DATA)
        return s->co <= ZERO_FLOATS && cln_conv_vector_width(info, s->ci) > 0;
    return s->ci <= ZERO_FLOATS && cln_conv_vector_width(info, s->co) > 0;
}

static int chunk_of(const cln_conv_shape *s)
{
    const int chunk = s->ho * s->wo > 128 ? 4 : 8;
    return s->k == 1 || spans(s) ? chunk / 2 : chunk; /* their partial sums are small */
}

static void vector_memory(const cln_device_info *info, const cln_conv_shape *s, int n,
                          int direction, size_t *scratch, size_t *saved)
{
    (void)info;
    const size_t weights = (size_t)s->k * s->k * s->ci * s->co;
    *scratch = *saved = 0;
    if (direction == CLN_CONV_BWD_DATA)
        *saved = weights * sizeof(float);
    if (direction == CLN_CONV_BWD_PARAMS)
        *scratch = (size_t)cln_div_up(n, chunk_of(s)) * (weights + s->co) * sizeof(float);
}

/* Rows of the output that a work-item of forward or backward-data owns: a power of two, or all. */
static int rows_of(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    const bool fwd = direction == CLN_CONV_FWD;
    const int height = fwd ? s->ho : s->h, width = fwd ? s->wo : s->w;
    const conv_tile t = tile_of(info, s, direction);
    const double taps = fwd ? s->k * s->k : (double)s->k * s->k / (s->stride * s->stride);
    const double flops = 2.0 * width * t.v * t.nv * taps * (fwd ? s->ci : s->co);
    const double bytes = (double)width * t.v * t.nv * sizeof(float);
    int rows = 1;
    while (rows < height && rows * flops < ITEM_FLOPS && 2 * rows * bytes <= STRIP_BYTES)
        rows *= 2;
    return cln_min(rows, height);
}

static int vector_strip_rows(const cln_device_info *info, const cln_conv_shape *s, int direction,
                             int pool)
{
    if (direction == CLN_CONV_BWD_PARAMS || !vector_supports(info, s, direction))
        return 0;
    return rows_of(info, s, direction) * pool;
}

/* A 1x1 convolution has no edges between rows: the largest number of them, up to `rows`,
 * that may count as one row. */
static int join_of(const cln_conv_shape *s, int rows)
{
    int join = 1;
    if (s->k > 1 || s->stride > 1 || s->pad > 0)
        return 1;
    for (int i = 2; i <= rows && i <= s->h; i++)
        if (s->h % i == 0)
            join = i;
    return join;
}

/* The sizes, strips and tiles that the kernel is told. A strip holds whole windows of the pooling. */
static void cut(conv_vector *c, const cln_device_info *info, int pool)
{
    cln_conv_shape *s = &c->s;
    conv_tile *t = &c->tile;
    *t = tile_of(info, s, c->direction);
    c->cols = c->direction == CLN_CONV_FWD ? s->wo : s->w;
    c->span = c->direction == CLN_CONV_BWD_PARAMS && spans(s);
    c->chunk = chunk_of(s);
    c->rows = rows_of(info, s, c->direction);
    c->rows = c->rows < pool ? pool : c->rows;
    if (c->direction == CLN_CONV_BWD_PARAMS)
        c->rows =
            cln_div_up(DW_STRIP_BYTES, (s->w * s->ci + s->wo * t->v * t->nv) * (int)sizeof(float));
    const int join = join_of(s, c->rows);
    /* a strip has to stay what strip_rows says */
    if (c->direction == CLN_CONV_BWD_PARAMS || c->rows % join == 0) {
        s->h /= join;
        s->ho /= join;
        s->w *= join;
        s->wo *= join;
        c->rows = cln_div_up(c->rows, join);
    }
    const int scalars = c->span ? s->k * s->ci : s->ci; /* of a line in backward-params */
    if (c->direction == CLN_CONV_FWD)
        t->p = cover(t->p, s->wo, s->wo);
    else if (c->direction == CLN_CONV_BWD_DATA) /* the phases' rows */
        t->p = cover(t->p, cln_div_up(s->w, s->stride), s->w / s->stride);
    else if (c->span)
        t->ps = cover(t->p, scalars, scalars);
    else
        t->pw = cover(t->pw, scalars, scalars);
    const int longer = c->span ? t->ps : t->pw;
    t->big = scalars - cln_div_up(scalars, longer) * (longer - 1);
}

static bool vector_derives(const cln_node *node, const cln_stage *stage)
{
    (void)node;
    return stage->pool == 1;
}

static void vector_destroy(void *state)
{
    conv_vector *c = state;
    if (!c)
        return;
    cln_kernel_free(&c->main);
    cln_kernel_free(&c->helper);
    free(c);
}

static int vector_create(cln_node *node, const cln_conv_shape *s, int direction, void **state,
                         cln_error *err)
{
    static const char *const names[][2] = {{"conv_fwd", NULL},
                                           {"conv_bwd_data", "conv_flip_weights"},
                                           {"conv_bwd_params", "conv_bwd_params_sum"}};
    const cln_device_info *info = &node->dev->info;
    if (!vector_supports(info, s, direction))
        return CLN_FAIL(err, CLN_ERR_INTERNAL,
                        "the vector convolution does not cover this shape; ask supports first");
    conv_vector *c = calloc(1, sizeof *c);
    if (!c)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory while building a convolution");
    c->s = *s;
    c->direction = direction;
    cut(c, info, direction == CLN_CONV_FWD ? cln_conv_finish_of(node).pool : 1);
    char options[96], act[16];
    snprintf(options, sizeof options, "-D V=%d -D NV=%d -D P=%d -D PW=%d -D PS=%d%s", c->tile.v, c->tile.nv,
             c->tile.p, c->tile.pw, c->tile.ps, cln_conv_act_option(node, act));
    int rc = cln_kernel_new(node->dev, "conv_vector.cl",
                            c->span ? "conv_bwd_params_span" : names[direction][0], options,
                            &c->main, err);
    if (!rc && names[direction][1])
        rc = cln_kernel_new(node->dev, "conv_vector.cl", names[direction][1], options, &c->helper,
                            err);
    if (rc) {
        vector_destroy(c);
        return rc;
    }
    *state = c;
    return CLN_OK;
}

/* Work-items of forward and backward-data: blocks of channels, strips, images. */
static cln_range strips_range(const conv_vector *c, int channels, int height, int n)
{
    return cln_range3((size_t)(channels / (c->tile.v * c->tile.nv)),
                      (size_t)cln_div_up(height, c->rows), (size_t)n, 1);
}

static int run_fwd(const conv_vector *c, const cln_node *node, int n, cln_error *err)
{
    const cln_conv_shape *s = &c->s;
    const cln_tensor stats = node->stats_for ? node->stats_for->stats : (cln_tensor){0};
    const cln_conv_finish f = cln_conv_finish_of(node);
    return cln_run(&c->main, strips_range(c, s->co, s->ho, n), err, CLN_MEM(node->x[0]),
                   CLN_MEM(node->param[0]), CLN_MEM(node->param[1]), CLN_MEM(node->zeros),
                   CLN_MEM(f.pool == 2 ? node->scratch : node->y), CLN_MEM(stats),
                   CLN_MEM(node->y), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci),
                   CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co), CLN_INT(s->k),
                   CLN_INT(s->stride), CLN_INT(s->pad), CLN_INT(c->rows), CLN_INT(s->bias),
                   CLN_INT(node->stats_for != NULL), CLN_FLOAT(f.lo), CLN_INT(f.pool),
                   CLN_INT(c->cols));
}

static int run_bwd_data(const conv_vector *c, const cln_node *node, cln_tensor flipped, const cln_pass *pass,
                        cln_error *err)
{
    const int n = pass->n;
    const cln_conv_shape *s = &c->s;
    const bool sums = node->sums_for && node->sums_for->norm;
    const cln_stage *g = sums ? node->sums_for : &cln_no_stage;
    int rc = pass->same_weights
                 ? CLN_OK
                 : cln_run(&c->helper, cln_range3((size_t)s->co, (size_t)s->k * s->k, 1, 1), err,
                           CLN_MEM(node->param[0]), CLN_MEM(flipped), CLN_INT(s->k),
                           CLN_INT(s->stride), CLN_INT(s->pad), CLN_INT(s->ci), CLN_INT(s->co));
    if (rc)
        return rc;
    return cln_run(&c->main, strips_range(c, s->ci, s->h, n), err, CLN_MEM(node->dy),
                   CLN_MEM(flipped), CLN_MEM(node->zeros), CLN_MEM(node->dx[0]), CLN_MEM(g->z),
                   CLN_MEM(g->mu), CLN_MEM(g->a), CLN_MEM(g->beta), CLN_MEM(g->sums),
                   CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co), CLN_INT(s->h), CLN_INT(s->w),
                   CLN_INT(s->ci), CLN_INT(s->k), CLN_INT(s->stride), CLN_INT(s->pad),
                   CLN_INT(c->rows), CLN_INT(node->accumulate[0]), CLN_INT(sums),
                   CLN_INT(g->coef_stride), CLN_INT(g->relu), CLN_INT(g->pool), CLN_INT(c->cols));
}

static int run_bwd_params(const conv_vector *c, const cln_node *node, int n, cln_error *err)
{
    const cln_conv_shape *s = &c->s;
    const int chunks = cln_div_up(n, c->chunk), count = s->k * s->k * s->ci * s->co;
    const cln_stage *g = node->behind ? node->behind : &cln_no_stage;
    const int blocks = s->co / (c->tile.v * c->tile.nv);
    int rc = cln_run(&c->main, cln_range3((size_t)blocks, (size_t)chunks, 1, 1), err,
                     CLN_MEM(node->x[0]), CLN_MEM(node->dy), CLN_MEM(node->zeros),
                     CLN_MEM(node->scratch), CLN_INT(n), CLN_INT(c->chunk), CLN_INT(c->rows),
                     CLN_INT(c->tile.big), CLN_INT(s->bias), CLN_INT(s->h), CLN_INT(s->w),
                     CLN_INT(s->ci), CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co), CLN_INT(s->k),
                     CLN_INT(s->stride), CLN_INT(s->pad), CLN_CONV_BEHIND(g, n, s->co));
    return rc ? rc : cln_conv_sum_parts(&c->helper, node, chunks, count, s->co, s->bias, c->tile.v, err);
}

static int vector_run(void *state, cln_node *node, cln_tensor saved, const cln_pass *pass, cln_error *err)
{
    const conv_vector *c = state;
    if (c->direction == CLN_CONV_FWD)
        return run_fwd(c, node, pass->n, err);
    if (c->direction == CLN_CONV_BWD_DATA)
        return run_bwd_data(c, node, saved, pass, err);
    return run_bwd_params(c, node, pass->n, err);
}

const cln_conv_impl cln_conv_vector = {
    .supports = vector_supports,
    .memory = vector_memory,
    .strip_rows = vector_strip_rows,
    .derives = vector_derives,
    .finishes = 2,
    .pools_scratch = true,
    .create = vector_create,
    .destroy = vector_destroy,
    .run = vector_run,
};
