/* 1x1 convolution of stride 1 for the vector class (see cl/conv_pointwise.cl). Backward-data makes both gradients in one
 * pass where both are wanted, and backward-params then has nothing left to do.
 *
 * As in conv_vector.c, what an item owns follows from the shape and the vector width alone, never from the number of
 * threads. cl/NOTES.md has the measurements. */
#include "conv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STRIP_BYTES = 24576, /* of x and y: both stay in the first-level cache until all is done with them */
    CHUNK_PIXELS = 2048, /* behind one partial sum of dw */
    PIXELS = 16          /* what a register tile takes at most */
};

typedef struct conv_pointwise {
    cln_conv_shape s;
    int direction, v;
    int rows, chunk; /* of a strip; images of a partial sum of dw */
    size_t xs, dys;  /* bytes of local memory */
    cln_kernel main, transpose, sum;
} conv_pointwise;

static size_t planes(const conv_pointwise *c, int channels)
{
    const int pixels = cln_div_up(c->rows * c->s.w, PIXELS) * PIXELS;
    return (size_t)channels * (pixels + 1) * sizeof(float);
}

/* All that follows from the shape; v is 0 where the kernels do not cover it. A strip holds whole windows of a pooling. */
static conv_pointwise lay_out(const cln_device_info *info, const cln_conv_shape *s, int direction, int pool)
{
    conv_pointwise c = {.s = *s, .direction = direction, .rows = 1};
    if (s->k != 1 || s->stride != 1 || s->pad != 0 || s->h * s->w < PIXELS)
        return c;
    while (c.rows < s->h && 2 * c.rows * s->w * (s->ci + s->co) * (int)sizeof(float) <= STRIP_BYTES)
        c.rows *= 2;
    c.rows = cln_min(c.rows < pool ? pool : c.rows, s->h);
    c.chunk = cln_div_up(CHUNK_PIXELS, s->h * s->w);
    c.xs = planes(&c, s->ci);
    c.dys = planes(&c, s->co);
    if (c.xs + c.dys <= info->local_mem) /* powers of two: the smaller width divides both */
        c.v = cln_min(cln_conv_vector_width(info, s->ci), cln_conv_vector_width(info, s->co));
    return c;
}

static bool pointwise_supports(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    return lay_out(info, s, direction, 2).v > 0;
}

static void pointwise_memory(const cln_device_info *info, const cln_conv_shape *s, int n, int direction,
                             size_t *scratch, size_t *saved)
{
    const size_t weights = (size_t)s->ci * s->co;
    const conv_pointwise c = lay_out(info, s, direction, 1);
    *saved = direction == CLN_CONV_BWD_DATA ? weights * sizeof(float) : 0;
    *scratch = 0;
    if (direction == CLN_CONV_BWD_PARAMS)
        *scratch = (size_t)cln_div_up(n, c.chunk) * (weights + s->co) * sizeof(float);
    if (direction == CLN_CONV_FWD) /* coefficients of the stage before, for each item */
        *scratch = (size_t)cln_div_up(s->h, c.rows) * (size_t)n * 2 * (size_t)s->ci * sizeof(float);
}

static int pointwise_strip_rows(const cln_device_info *info, const cln_conv_shape *s, int direction, int pool)
{
    const conv_pointwise c = lay_out(info, s, direction, 1);
    return direction == CLN_CONV_BWD_PARAMS || !c.v ? 0 : c.rows * pool;
}

/* dz is left nowhere, so that both gradients have to be of this algorithm; a strip has to hold whole windows. */
static bool pointwise_derives(const cln_node *node, const cln_stage *stage)
{
    const cln_shape z = node->layer->out;
    const cln_conv_shape s = {.h = z.h, .w = z.w, .ci = node->layer->in[0].c, .ho = z.h, .wo = z.w, .co = z.c, .k = 1,
                              .stride = 1};
    const bool one_pass = node->tune.bwd_data == CLN_CONV_POINTWISE || cln_reads_data(node);
    return one_pass && lay_out(&node->dev->info, &s, CLN_CONV_BWD_PARAMS, 1).rows % stage->pool == 0;
}

static void pointwise_destroy(void *state)
{
    conv_pointwise *c = state;
    if (!c)
        return;
    cln_kernel_free(&c->main);
    cln_kernel_free(&c->transpose);
    cln_kernel_free(&c->sum);
    free(c);
}

static int pointwise_create(cln_node *node, const cln_conv_shape *s, int direction, void **state, cln_error *err)
{
    static const char *const names[][3] = {{"conv_fwd_pointwise", NULL, NULL},
                                           {"conv_bwd_pointwise", "conv_transpose_weights", "conv_bwd_params_sum"},
                                           {"conv_bwd_params_pointwise", NULL, "conv_bwd_params_sum"}};
    if (!pointwise_supports(&node->dev->info, s, direction))
        return CLN_FAIL(err, CLN_ERR_INTERNAL,
                        "the pointwise convolution does not cover this shape; ask supports first");
    conv_pointwise *c = malloc(sizeof *c);
    if (!c)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of memory while building a convolution");
    *c = lay_out(&node->dev->info, s, direction, direction == CLN_CONV_FWD ? cln_conv_finish_of(node).pool : 1);
    cln_kernel *const kernels[] = {&c->main, &c->transpose, &c->sum};
    char options[80], act[16];
    const int outputs = s->co / c->v, inputs = s->ci / c->v; /* NOLINT(clang-analyzer-core.DivideZero): supports() saw to it */
    snprintf(options, sizeof options, "-D V=%d -D NV=%d -D NVX=%d%s", c->v, outputs % 2 ? 1 : 2, inputs % 2 ? 1 : 2,
             cln_conv_act_option(node, act));
    for (int i = 0; i < 3; i++) {
        const char *name = names[direction][i];
        int rc = name ? cln_kernel_new(node->dev, "conv_pointwise.cl", name, options, kernels[i], err) : CLN_OK;
        if (rc) {
            pointwise_destroy(c);
            return rc;
        }
    }
    *state = c;
    return CLN_OK;
}

static int run_fwd(const conv_pointwise *c, const cln_node *node, int n, cln_error *err)
{
    const cln_conv_shape *s = &c->s;
    const cln_tensor stats = node->stats_for ? node->stats_for->stats : (cln_tensor){0};
    const cln_stage *g = node->applies ? node->applies : &cln_no_stage;
    const cln_conv_finish f = cln_conv_finish_of(node);
    return cln_run(&c->main, cln_range3((size_t)cln_div_up(s->h, c->rows), (size_t)n, 1, 1), err, CLN_MEM(node->x[0]),
                   CLN_MEM(node->param[0]), CLN_MEM(node->param[1]), CLN_MEM(f.pool == 2 ? node->scratch : node->y), CLN_MEM(stats),
                   CLN_MEM(node->y), CLN_MEM(g->mu), CLN_MEM(g->a), CLN_MEM(g->beta), CLN_MEM(g->stats), CLN_MEM(g->gamma), CLN_MEM(node->scratch),
                   CLN_LOCAL(c->xs), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci),
                   CLN_INT(s->co), CLN_INT(c->rows), CLN_INT(s->bias), CLN_INT(node->stats_for != NULL),
                   CLN_INT(node->applies != NULL), CLN_INT(g->coef_stride), CLN_FLOAT(cln_stage_floor(g)), CLN_FLOAT(f.lo),
                   CLN_INT(f.pool), CLN_INT(g->merged ? g->strip_rows : 0), CLN_INT(g->groups), CLN_FLOAT(g->eps));
}

/* The stage whose dz these kernels make themselves; else it is at dy by now. */
static const cln_stage *behind_of(const cln_node *node)
{
    return node->behind && node->tune.bwd_params == CLN_CONV_POINTWISE ? node->behind : &cln_no_stage;
}

static int sum_parts(const conv_pointwise *c, const cln_node *node, int n, cln_error *err)
{
    const cln_conv_shape *s = &c->s;
    return cln_conv_sum_parts(&c->sum, node, cln_div_up(n, c->chunk), s->ci * s->co, s->co, s->bias, c->v, err);
}

static int run_bwd_params(const conv_pointwise *c, const cln_node *node, int n, cln_error *err)
{
    const cln_conv_shape *s = &c->s;
    const cln_stage *g = node->applies ? node->applies : &cln_no_stage, *behind = behind_of(node);
    int rc = cln_run(&c->main, cln_range1((size_t)cln_div_up(n, c->chunk), 1), err, CLN_MEM(node->x[0]), CLN_MEM(node->dy),
                     CLN_MEM(node->scratch), CLN_MEM(g->mu), CLN_MEM(g->a), CLN_MEM(g->beta), CLN_LOCAL(c->xs),
                     CLN_LOCAL(c->dys), CLN_INT(n), CLN_INT(c->chunk), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci),
                     CLN_INT(s->co), CLN_INT(c->rows), CLN_INT(s->bias), CLN_INT(node->applies != NULL),
                     CLN_INT(g->coef_stride), CLN_FLOAT(cln_stage_floor(g)), CLN_CONV_BEHIND(behind, n, s->co));
    return rc ? rc : sum_parts(c, node, n, err);
}

/* One pass over the images for dx and (dw) the other gradients, and the sum of the parts of dw. wt: transposed weights. */
static int run_bwd_data(const conv_pointwise *c, const cln_node *node, cln_tensor wt, int n, bool dw, cln_error *err)
{
    const cln_conv_shape *s = &c->s;
    const cln_tensor none = {0};
    const bool sums = node->sums_for && node->sums_for->norm, staged = dw && node->applies;
    const cln_stage *g = sums ? node->sums_for : staged ? node->applies : &cln_no_stage; /* one and the same stage */
    const cln_stage *behind = behind_of(node);
    int rc = cln_run(&c->main, cln_range1((size_t)cln_div_up(n, c->chunk), 1), err, CLN_MEM(node->x[0]), CLN_MEM(node->dy),
                     CLN_MEM(wt), CLN_MEM(node->dx[0]), CLN_MEM(dw ? node->scratch : none), CLN_MEM(g->mu),
                     CLN_MEM(g->a), CLN_MEM(g->beta), CLN_MEM(g->z), CLN_MEM(g->sums), CLN_LOCAL(c->xs),
                     CLN_LOCAL(c->dys), CLN_INT(n), CLN_INT(c->chunk), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci),
                     CLN_INT(s->co), CLN_INT(c->rows), CLN_INT(dw), CLN_INT(s->bias),
                     CLN_INT(node->accumulate[0]), CLN_INT(sums), CLN_INT(staged), CLN_INT(g->coef_stride),
                     CLN_INT(g->relu), CLN_INT(g->pool), CLN_CONV_BEHIND(behind, n, s->co));
    return rc || !dw ? rc : sum_parts(c, node, n, err);
}

static int pointwise_run(void *state, cln_node *node, cln_tensor saved, const cln_pass *pass, cln_error *err)
{
    const conv_pointwise *c = state;
    const bool one_pass = node->tune.bwd_data == CLN_CONV_POINTWISE && node->tune.bwd_params == CLN_CONV_POINTWISE &&
                          node->dx[0].mem && !(pass->skip & (CLN_SKIP_DATA | CLN_SKIP_PARAMS));
    if (c->direction == CLN_CONV_FWD)
        return run_fwd(c, node, pass->n, err);
    if (c->direction == CLN_CONV_BWD_PARAMS)
        return one_pass ? CLN_OK : run_bwd_params(c, node, pass->n, err);
    int rc = pass->same_weights ? CLN_OK
                                : cln_run(&c->transpose, cln_range1((size_t)c->s.co, 1), err, CLN_MEM(node->param[0]),
                                          CLN_MEM(saved), CLN_INT(c->s.ci), CLN_INT(c->s.co));
    return rc ? rc : run_bwd_data(c, node, saved, pass->n, one_pass, err);
}

const cln_conv_impl cln_conv_pointwise = {
    .supports = pointwise_supports,
    .memory = pointwise_memory,
    .strip_rows = pointwise_strip_rows,
    .derives = pointwise_derives,
    .applies = true,
    .merges = true,
    .finishes = 2,
    .pools_scratch = true,
    .create = pointwise_create,
    .destroy = pointwise_destroy,
    .run = pointwise_run,
};
