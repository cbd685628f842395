/* The convolutions of the SIMT class. The plainest, one work-item an output (cl/conv_simt.cl), which every device can run
 * for every shape, is the last resort of all; the other goes by tiles in local memory (cl/conv_tile.cl). */
#include "conv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CHUNK_PIXELS = 1024,             /* outputs that one item of backward-params adds up, at least, */
    CHUNK_IMAGES = 16,               /* or so many images of few */
    TILE_CHUNK_PIXELS = 128,         /* the same of a group of conv_tile.cl, */
    TILE_CHUNKS = 4,                 /* but no more chunks of an image than these */
    GROUP = 16,                      /* items of a group, at least: one by one they cost a CPU more than what they do */
    TILE_GROUP = 64, TILE_ROWS = 64, /* conv_tile.cl's */
    TILE_LOCAL = 8 * 1024,           /* bytes of local memory, at most */
};

typedef struct simt_state {
    cln_conv_shape s;
    int direction;
    int rows;                  /* of outputs in a chunk of backward-params, counted through all images */
    int cols;                  /* of a tile */
    cln_kernel kernel, reduce; /* reduce: backward-params alone */
} simt_state;

static size_t param_count(const cln_conv_shape *s)
{
    return (size_t)s->k * (size_t)s->k * (size_t)s->ci * (size_t)s->co +
           (s->bias ? (size_t)s->co : 0);
}

static size_t group_of(const cln_node *node) { return (size_t)cln_max(node->tune.local, GROUP); }

static int cols_of(const cln_conv_shape *s, int direction)
{
    return (direction == CLN_CONV_BWD_DATA ? s->ci : s->co) > 16 ? 32 : 16;
}

/* Rows of a chunk. By shape alone, never by what the device or this batch is, but where cln_conv_max_chunks allows no more
 * chunks: then by the batch's capacity, too. */
static int chunk_rows(const cln_conv_shape *s, int n, bool tiled)
{
    const int image = s->ho * s->wo;
    const int pixels = tiled ? cln_max(TILE_CHUNK_PIXELS, image / TILE_CHUNKS) : cln_min(CHUNK_PIXELS, CHUNK_IMAGES * image);
    return cln_max(cln_div_up(n * s->ho, cln_conv_max_chunks(param_count(s))), cln_div_up(pixels, s->wo));
}

static int chunks_of(const simt_state *m, int n) { return cln_div_up(n * m->s.ho, m->rows); }

static bool simt_supports(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    (void)info, (void)s, (void)direction;
    return true;
}

static void memory(const cln_conv_shape *s, int n, int direction, bool tiled, size_t *scratch, size_t *saved)
{
    *saved = *scratch = 0;
    if (direction == CLN_CONV_BWD_PARAMS)
        *scratch = (size_t)cln_div_up(n * s->ho, chunk_rows(s, n, tiled)) * param_count(s) * sizeof(float);
}

static void simt_memory(const cln_device_info *info, const cln_conv_shape *s, int n, int direction,
                        size_t *scratch, size_t *saved)
{
    (void)info;
    memory(s, n, direction, false, scratch, saved);
}

static void simt_destroy(void *state)
{
    simt_state *m = state;
    if (!m)
        return;
    cln_kernel_free(&m->kernel);
    cln_kernel_free(&m->reduce);
    free(m);
}

static int create(cln_node *node, const cln_conv_shape *s, int direction, bool tiled, void **state, cln_error *err)
{
    static const char *const names[] = {"conv_fwd_simt", "conv_bwd_data_simt", "conv_bwd_params_simt"};
    static const char *const tiles[] = {"conv_fwd_tile", "conv_bwd_data_tile", "conv_bwd_params_tile"};
    char options[32] = "";
    simt_state *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    m->s = *s;
    m->direction = direction;
    m->rows = chunk_rows(s, node->layer->in[0].n, tiled);
    m->cols = cols_of(s, direction);
    if (tiled)
        snprintf(options, sizeof options, "-D COLS=%d", m->cols);
    int rc = cln_kernel_new(node->dev, tiled ? "conv_tile.cl" : "plain.cl", (tiled ? tiles : names)[direction], options,
                            &m->kernel, err);
    if (!rc && direction == CLN_CONV_BWD_PARAMS)
        rc = cln_kernel_new(node->dev, "plain.cl", "conv_bwd_reduce_simt", "", &m->reduce, err);
    if (rc) {
        simt_destroy(m);
        return rc;
    }
    *state = m;
    return CLN_OK;
}

static int simt_create(cln_node *node, const cln_conv_shape *s, int direction, void **state, cln_error *err)
{
    return create(node, s, direction, false, state, err);
}

/* `range` of the kernel that writes the chunks' sums, then they are added up. */
static int run_params(const simt_state *m, cln_node *node, int n, cln_range range, cln_error *err)
{
    const cln_conv_shape *s = &m->s;
    const size_t params = param_count(s), biases = s->bias ? (size_t)s->co : 0;
    int rc = cln_run(&m->kernel, range, err, CLN_MEM(node->x[0]), CLN_MEM(node->dy), CLN_MEM(node->scratch), CLN_INT(n),
                     CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co),
                     CLN_INT(s->k), CLN_INT(s->stride), CLN_INT(s->pad), CLN_INT(s->bias), CLN_INT(m->rows));
    if (rc)
        return rc;
    return cln_conv_reduce(&m->reduce, node, (int)(params - biases), (int)biases, chunks_of(m, n), err);
}

static int simt_run(void *state, cln_node *node, cln_tensor saved, const cln_pass *pass, cln_error *err)
{
    const int n = pass->n;
    const simt_state *m = state;
    const cln_conv_shape *s = &m->s;
    const size_t images = (size_t)n, local = group_of(node);
    (void)saved;
    if (m->direction == CLN_CONV_BWD_PARAMS)
        return run_params(m, node, n, cln_range3(param_count(s), (size_t)chunks_of(m, n), 1, local), err);
    const cln_conv_finish f = cln_conv_finish_of(node);
    const size_t outputs = (size_t)(s->ho / f.pool) * (size_t)(s->wo / f.pool) * (size_t)s->co;
    if (m->direction == CLN_CONV_FWD)
        return cln_run(&m->kernel, cln_range3(outputs, images, 1, local), err,
                       CLN_MEM(node->x[0]), CLN_MEM(node->param[0]), CLN_MEM(node->param[1]),
                       CLN_MEM(node->y), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci),
                       CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co), CLN_INT(s->k),
                       CLN_INT(s->stride), CLN_INT(s->pad), CLN_INT(s->bias), CLN_FLOAT(f.lo),
                       CLN_INT(f.pool));
    return cln_run(&m->kernel, cln_range3((size_t)s->h * s->w * s->ci, images, 1, local), err,
                   CLN_MEM(node->dy), CLN_MEM(node->param[0]), CLN_MEM(node->dx[0]), CLN_INT(s->h),
                   CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho), CLN_INT(s->wo), CLN_INT(s->co),
                   CLN_INT(s->k), CLN_INT(s->stride), CLN_INT(s->pad),
                   CLN_INT(node->accumulate[0]));
}

const cln_conv_impl cln_conv_simt = {
    .supports = simt_supports,
    .memory = simt_memory,
    .strip_rows = NULL,
    .finishes = 2,
    .create = simt_create,
    .destroy = simt_destroy,
    .run = simt_run,
};

/* ---- tiles ----------------------------------------------------------------------------------------- */

static bool tile_supports(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    (void)s, (void)direction;
    return info->max_local_size >= TILE_GROUP && info->max_items[0] >= TILE_GROUP && info->local_mem >= TILE_LOCAL;
}

static void tile_memory(const cln_device_info *info, const cln_conv_shape *s, int n, int direction,
                        size_t *scratch, size_t *saved)
{
    (void)info;
    memory(s, n, direction, true, scratch, saved);
}

static int tile_create(cln_node *node, const cln_conv_shape *s, int direction, void **state, cln_error *err)
{
    return create(node, s, direction, true, state, err);
}

static int tile_run(void *state, cln_node *node, cln_tensor saved, const cln_pass *pass, cln_error *err)
{
    const simt_state *m = state;
    const cln_conv_shape *s = &m->s;
    const bool params = m->direction == CLN_CONV_BWD_PARAMS, data = m->direction == CLN_CONV_BWD_DATA;
    const int rows = params ? s->k * s->k * s->ci : pass->n * (data ? s->h * s->w : s->ho * s->wo);
    const cln_range range = cln_range3((size_t)cln_div_up(rows, TILE_ROWS) * TILE_GROUP,
                                       (size_t)cln_div_up(data ? s->ci : s->co, m->cols),
                                       params ? (size_t)chunks_of(m, pass->n) : 1, TILE_GROUP);
    (void)saved;
    if (params)
        return run_params(m, node, pass->n, range, err);
    if (data)
        return cln_run(&m->kernel, range, err, CLN_MEM(node->dy), CLN_MEM(node->param[0]), CLN_MEM(node->dx[0]),
                       CLN_INT(pass->n), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho), CLN_INT(s->wo),
                       CLN_INT(s->co), CLN_INT(s->k), CLN_INT(s->stride), CLN_INT(s->pad), CLN_INT(node->accumulate[0]));
    return cln_run(&m->kernel, range, err, CLN_MEM(node->x[0]), CLN_MEM(node->param[0]), CLN_MEM(node->param[1]),
                   CLN_MEM(node->y), CLN_INT(pass->n), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho),
                   CLN_INT(s->wo), CLN_INT(s->co), CLN_INT(s->k), CLN_INT(s->stride), CLN_INT(s->pad), CLN_INT(s->bias),
                   CLN_FLOAT(cln_conv_finish_of(node).lo));
}

const cln_conv_impl cln_conv_tile = {
    .supports = tile_supports,
    .memory = tile_memory,
    .strip_rows = NULL,
    .finishes = 1,
    .create = tile_create,
    .destroy = simt_destroy,
    .run = tile_run,
};
