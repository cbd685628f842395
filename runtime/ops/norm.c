/* Batch, layer, group and instance normalisation, none, ReLU and smooth activations: the hosts of stages (see op.h and the
 * head of cl/norm.cl, which has the mathematics). What tells the norms apart is over which values they
 * take statistics; everything else is shared.
 *
 * Sources: Ioffe & Szegedy 2015 (batch), Ba, Kiros & Hinton 2016 (layer), Wu & He 2018 (group), Ulyanov,
 * Vedaldi & Lempitsky 2016 (instance). Semantics (eps, momentum, biased and unbiased variance) are PyTorch's.
 * Layer norm here is over C, H, W of a sample with gamma and beta per channel: group norm with one group. */
#include "op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAVED_MU, SAVED_A, SAVED_WS, SAVED_STRIPS };
enum { R_PLANE = 1, WS_PLANES = 3 }; /* cl/norm.h's */
enum { MERGED_STRIPS = 8 }; /* from so many of them an item merges statistics in little of its time */
enum { MAX_SET_ITEMS = 128 }; /* of a group, for a set of values that share a mean (SIMT class) */

extern const cln_op cln_op_bn, cln_op_ln, cln_op_gn, cln_op_in, cln_op_none, cln_op_relu,
    cln_op_silu, cln_op_celu, cln_op_gelu;

typedef struct norm_impl {
    cln_kernel stats, coefs, eval, apply;
    cln_kernel sums, params, bwd_coefs, bwd_apply;
    int lanes, rows; /* rows: strip height where this stage takes the sums itself */
    int wide, chunk; /* vector and pixels per item in the apply kernels, */
    int wide_lanes;  /* and their lanes */
} norm_impl;

/* ---- what the norms differ in -------------------------------------------------------------------- */

static bool is_batch(const cln_layer *layer) { return layer->op == &cln_op_bn; }

/* Groups of channels per sample that share statistics; 0: one set per channel over the whole batch. */
static int groups_of(const cln_layer *layer)
{
    if (layer->op == &cln_op_ln)
        return 1;
    if (layer->op == &cln_op_in)
        return layer->in[0].c;
    return layer->op == &cln_op_gn ? cln_layer_int(layer, "groups") : 0;
}

static int shape_gn(cln_layer *layer, cln_error *err)
{
    int groups = cln_layer_int(layer, "groups"), c = layer->in[0].c;
    if (groups < 1 || c % groups)
        return CLN_FAIL(err, CLN_ERR_MODEL, "%d groups do not divide %d channels", groups, c);
    layer->out = layer->in[0];
    return CLN_OK;
}

static void params_norm(const cln_layer *layer, cln_params *out)
{
    const int c = layer->in[0].c;
    out->param[0] = (cln_param){"weight", {c}, 1, CLN_INIT_ONE, 0, false};
    out->param[1] = (cln_param){"bias", {c}, 1, CLN_INIT_ZERO, 0, false};
    out->n_params = 2;
    if (is_batch(layer)) {
        out->state[0] = (cln_param){"running_mean", {c}, 1, CLN_INIT_ZERO, 0, false};
        out->state[1] = (cln_param){"running_var", {c}, 1, CLN_INIT_ONE, 0, false};
        out->n_states = 2;
    }
}

static void cost_norm(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double n = (double)cln_shape_count(layer->in[0]), b = n * sizeof(float);
    cost[CLN_COST_FORWARD] = (cln_cost){7 * n, 2 * b};        /* z, y: once each, though the statistics need a pass */
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){11 * n, 3 * b}; /* z, dy, dz likewise */
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};        /* falls out of the sums */
}

static void cost_relu(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double n = (double)cln_shape_count(layer->in[0]), b = n * sizeof(float);
    cost[CLN_COST_FORWARD] = (cln_cost){n, 2 * b};
    cost[CLN_COST_BACKWARD_DATA] = (cln_cost){n, 3 * b};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
}

/* ---- the stage, shared by all -------------------------------------------------------------------- */

/* Strips of about 16 KiB: one pass leaves them in the first-level cache for the second. In the SIMT class an item has one
 * channel of a strip, and they are short: many items. Even under a pool.
 * Depends on the shape alone, so that results do not depend on the device's cores. */
static int strip_rows(const cln_node *node)
{
    const cln_shape in = node->layer->in[0];
    const int pool = node->stage ? node->stage->pool : 1;
    int rows = node->tune.cls == CLN_CLASS_VECTOR ? 4096 / (in.w * in.c) : 32 / in.w;
    rows = rows < 1 ? 1 : rows > in.h ? in.h : rows;
    return pool == 2 ? (rows + 1) / 2 * 2 : rows;
}

static size_t strips_bytes(const cln_node *node)
{
    const cln_shape in = node->layer->in[0];
    const cln_stage *s = node->stage;
    const int own = strip_rows(node);
    const int fwd = s && s->stat_rows ? s->stat_rows : own, bwd = s && s->sum_rows ? s->sum_rows : own;
    const int tiles = cln_max(cln_div_up(in.h, fwd), cln_div_up(in.h, bwd));
    return (size_t)in.n * tiles * in.c * 2 * sizeof(float);
}

/* Pixels of an item of the apply kernels. */
static int chunk_of(const cln_node *node)
{
    const int pool = node->stage->pool;
    return node->tune.cls == CLN_CLASS_VECTOR ? cln_max(1, 8192 / (node->layer->in[0].c * pool * pool)) : 1;
}

static int items_of(const cln_node *node)
{
    const cln_shape in = node->layer->in[0];
    const int pool = node->stage->pool;
    return cln_div_up(in.h / pool * (in.w / pool), chunk_of(node));
}

/* At inference the items of the apply kernel make their coefficients, rather than a kernel before them. */
static bool merges_own(const cln_node *node)
{
    const cln_stage *s = node->stage;
    const cln_shape in = node->layer->in[0];
    if (!s) /* the table of clnorm model asks about a layer alone */
        return false;
    const int rows = s->stat_rows ? s->stat_rows : strip_rows(node);
    return node->inference && s->norm && !is_batch(node->layer) && !s->deferred &&
           node->tune.cls == CLN_CLASS_VECTOR && cln_div_up(in.h, rows) <= MERGED_STRIPS;
}

static void memory_stage(const cln_node *node, cln_memory *out)
{
    const cln_shape in = node->layer->in[0];
    const bool norm = node->layer->op->params != NULL;
    const size_t row = (size_t)in.c * sizeof(float);
    out->keeps_x = true;
    out->saved[SAVED_MU] = out->saved[SAVED_A] = norm && !is_batch(node->layer) ? row * in.n : row;
    if (norm) {
        const int planes = merges_own(node) ? 2 * items_of(node) : WS_PLANES;
        out->saved[SAVED_WS] = (size_t)planes * row * in.n;
        out->saved[SAVED_STRIPS] = strips_bytes(node);
    }
}

static void destroy_stage(cln_node *node)
{
    norm_impl *m = node->impl;
    if (!m)
        return;
    cln_kernel *all[] = {&m->stats, &m->coefs, &m->eval, &m->apply, &m->sums, &m->params, &m->bwd_coefs, &m->bwd_apply};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cln_kernel_free(all[i]);
    free(m);
    node->impl = NULL;
}

static int build_kernels(cln_node *node, norm_impl *m, cln_error *err)
{
    const cln_stage *s = node->stage;
    const bool batch = is_batch(node->layer), pool = s->pool == 2, simt = node->tune.cls != CLN_CLASS_VECTOR;
    const char *const own = simt ? "_simt" : ""; /* of cl/norm_simt.cl */
    const struct {
        cln_kernel *kernel;
        const char *name, *suffix;
        bool wanted, wide;
    } list[] = {
        {&m->stats, "norm_fwd_stats", "", s->norm && !s->stat_rows, false},
        {&m->coefs, batch ? "norm_fwd_coefs_batch" : "norm_fwd_coefs_sample", own, s->norm && !s->merged, false},
        {&m->eval, "norm_fwd_coefs_eval", "", s->norm && batch, false},
        {&m->apply, pool ? "norm_fwd_apply_pool" : "norm_fwd_apply", "", !s->deferred, true},
        {&m->sums, pool ? "norm_bwd_sums_pool" : "norm_bwd_sums", "", s->norm && !s->sum_rows, false},
        {&m->params, "norm_bwd_params", own, s->norm, false},
        {&m->bwd_coefs, "norm_bwd_coefs_sample", own, s->norm && !batch, false},
        {&m->bwd_apply, pool ? "norm_bwd_apply_pool" : "norm_bwd_apply", "", !s->derived, true},
    };
    char width[CLN_VECTOR_OPTIONS], options[64], name[48];
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!list[i].wanted)
            continue;
        const bool plain = *list[i].suffix;
        cln_tune_wide_options(&node->tune, list[i].wide ? m->wide : node->tune.v, width);
        snprintf(options, sizeof options, s->smooth ? "%s -D ACT=%d" : "%s", width, s->smooth);
        snprintf(name, sizeof name, "%s%s", list[i].name, list[i].suffix);
        int rc = cln_kernel_new(node->dev, plain ? "plain.cl" : "stages.cl", name, plain ? "" : options, list[i].kernel, err);
        if (rc)
            return rc;
    }
    return CLN_OK;
}

/* Channels of an image that share statistics. */
static int set_channels(const cln_layer *layer)
{
    const int groups = groups_of(layer);
    return groups > 0 ? layer->in[0].c / groups : layer->in[0].c;
}

/* Launch of a kernel that makes the coefficients of `sets` sets of so many terms, each V channels' or a sample's: see
 * cl/norm_simt.cl. */
static cln_range range_of_sets(const cln_node *node, int sets, int terms)
{
    if (node->tune.cls == CLN_CLASS_VECTOR)
        return cln_range1((size_t)sets, (size_t)node->tune.local);
    const size_t items = (size_t)cln_power_of_two(terms, MAX_SET_ITEMS);
    return cln_range1((size_t)sets * items, items);
}

/* The plan has filled what the stage is to do before; the tensors are set here. */
static int build_stage(cln_node *node, cln_error *err)
{
    const cln_layer *layer = node->layer;
    const cln_shape in = layer->in[0];
    cln_stage *s = node->stage;
    norm_impl *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d", layer->index);
    node->impl = m;
    s->norm = layer->op->params != NULL;
    s->z = node->x[0];
    s->mu = node->saved[SAVED_MU];
    s->a = node->saved[SAVED_A];
    s->coef_stride = s->norm && !is_batch(layer) ? in.c : 0;
    s->beta = s->norm ? node->param[1] : node->saved[SAVED_MU];
    s->gamma = node->param[0];
    s->groups = groups_of(layer);
    s->eps = s->norm ? cln_layer_attr(layer, "eps") : 0;
    s->stats = s->sums = node->saved[SAVED_STRIPS];
    s->dy = node->dy;
    s->qr = s->norm ? node->saved[SAVED_WS] : s->mu; /* without a norm q = r = 0: mu, all zeros then, serves as both */
    s->r_plane = s->norm ? R_PLANE : 0;
    m->rows = strip_rows(node);
    s->strip_rows = s->stat_rows ? s->stat_rows : m->rows;
    m->lanes = node->tune.cls == CLN_CLASS_VECTOR ? 1 : in.c / node->tune.v;
    m->wide = cln_tune_wide(&node->tune, in.c);
    m->wide_lanes = node->tune.cls == CLN_CLASS_VECTOR ? 1 : in.c / m->wide;
    m->chunk = chunk_of(node);
    s->merged = s->merged || merges_own(node);
    if (!s->norm) { /* the identity: mu = beta = 0, a = 1 */
        const float one = 1.0f;
        uint32_t bits;
        memcpy(&bits, &one, sizeof bits);
        int rc = cln_tensor_fill(node->dev, s->mu, 0, err);
        if (!rc)
            rc = cln_tensor_fill(node->dev, s->a, bits, err);
        if (rc)
            return rc;
    }
    return build_kernels(node, m, err);
}

static int forward_coefs(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const cln_layer *layer = node->layer;
    const norm_impl *m = node->impl;
    const cln_stage *s = node->stage;
    const cln_shape in = layer->in[0];
    const int n = pass->n, c = in.c, hw = in.h * in.w, groups = groups_of(layer), local = node->tune.local;
    const double eps = cln_layer_attr(layer, "eps");
    const int rows = s->strip_rows, tiles = cln_div_up(in.h, rows);
    if (is_batch(layer) && !pass->train)
        return cln_run(&m->eval, cln_range1(c, local), err, CLN_MEM(node->param[0]), CLN_MEM(node->state[0]),
                       CLN_MEM(node->state[1]), CLN_MEM(s->mu), CLN_MEM(s->a), CLN_INT(c), CLN_FLOAT(eps));
    if (is_batch(layer) && (long)n * hw == 1)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "batch norm (layer %d) needs more than one value per channel in training: use a larger "
                        "batch or another norm", layer->index);
    int rc = CLN_OK;
    if (!s->stat_rows)
        rc = cln_run(&m->stats, cln_range3((size_t)tiles * m->lanes, n, 1, local), err, CLN_MEM(s->z),
                     CLN_MEM(s->stats), CLN_INT(in.h), CLN_INT(in.w), CLN_INT(c), CLN_INT(rows), CLN_INT(tiles),
                     CLN_INT(m->lanes));
    if (rc || s->merged)
        return rc;
    if (is_batch(layer))
        return cln_run(&m->coefs, range_of_sets(node, c / node->tune.v, n * tiles), err, CLN_MEM(s->stats),
                       CLN_MEM(node->saved[SAVED_WS]), CLN_MEM(node->param[0]), CLN_MEM(s->mu), CLN_MEM(s->a),
                       CLN_MEM(node->state[0]), CLN_MEM(node->state[1]), CLN_INT(n), CLN_INT(in.h), CLN_INT(in.w),
                       CLN_INT(c), CLN_INT(rows), CLN_INT(tiles), CLN_FLOAT(eps),
                       CLN_FLOAT(cln_layer_attr(layer, "momentum")));
    return cln_run(&m->coefs, range_of_sets(node, n * groups, tiles * set_channels(layer)), err,
                   CLN_MEM(s->stats), CLN_MEM(node->saved[SAVED_WS]), CLN_MEM(node->param[0]), CLN_MEM(s->mu),
                   CLN_MEM(s->a), CLN_INT(n), CLN_INT(in.h), CLN_INT(in.w), CLN_INT(c), CLN_INT(rows), CLN_INT(tiles),
                   CLN_INT(groups), CLN_FLOAT(eps));
}

static int forward_stage(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const norm_impl *m = node->impl;
    const cln_stage *s = node->stage;
    const cln_shape in = node->layer->in[0];
    const int local = node->tune.local;
    int rc = s->norm ? forward_coefs(node, pass, err) : CLN_OK;
    if (rc || s->deferred)
        return rc;
    const int ho = in.h / s->pool, wo = in.w / s->pool;
    const cln_range range = cln_range3((size_t)items_of(node) * m->wide_lanes, pass->n, 1, local);
    return cln_run(&m->apply, range, err, CLN_MEM(s->z), CLN_MEM(s->mu), CLN_MEM(s->a), CLN_MEM(s->beta),
                   CLN_MEM(node->y), CLN_MEM(s->stats), CLN_MEM(s->gamma), CLN_MEM(node->saved[SAVED_WS]),
                   CLN_INT(s->coef_stride), CLN_FLOAT(cln_stage_floor(s)), CLN_INT(ho), CLN_INT(wo), CLN_INT(in.c),
                   CLN_INT(m->chunk), CLN_INT(m->wide_lanes), CLN_INT(s->merged ? s->strip_rows : 0), CLN_INT(s->groups),
                   CLN_FLOAT(s->eps));
}

static int backward_coefs(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const norm_impl *m = node->impl;
    const cln_stage *s = node->stage;
    const cln_shape in = node->layer->in[0];
    const cln_tensor ws = node->saved[SAVED_WS];
    const int n = pass->n, c = in.c, hw = in.h * in.w, groups = groups_of(node->layer), local = node->tune.local;
    const int rows = s->sum_rows ? s->sum_rows : m->rows, tiles = cln_div_up(in.h, rows);
    int rc = CLN_OK;
    if (!s->sum_rows)
        rc = cln_run(&m->sums, cln_range3((size_t)tiles * m->lanes, n, 1, local), err, CLN_MEM(s->z), CLN_MEM(s->mu),
                     CLN_MEM(s->a), CLN_MEM(s->beta), CLN_MEM(node->dy), CLN_MEM(s->sums), CLN_INT(s->coef_stride),
                     CLN_FLOAT(cln_stage_mask(s)), CLN_INT(in.h), CLN_INT(in.w), CLN_INT(c), CLN_INT(rows), CLN_INT(tiles),
                     CLN_INT(m->lanes));
    if (!rc)
        rc = cln_run(&m->params, range_of_sets(node, c / node->tune.v, n * tiles), err, CLN_MEM(s->sums), CLN_MEM(ws),
                     CLN_MEM(node->param[0]), CLN_MEM(node->grad[0]), CLN_MEM(node->grad[1]), CLN_INT(n), CLN_INT(c),
                     CLN_INT(tiles), CLN_INT(s->coef_stride), CLN_INT(is_batch(node->layer) ? hw : 0));
    if (rc || is_batch(node->layer))
        return rc;
    return cln_run(&m->bwd_coefs, range_of_sets(node, n * groups, tiles * set_channels(node->layer)), err,
                   CLN_MEM(s->sums), CLN_MEM(ws), CLN_MEM(node->param[0]), CLN_INT(n), CLN_INT(hw),
                   CLN_INT(c), CLN_INT(tiles), CLN_INT(groups));
}

static int backward_stage(cln_node *node, const cln_pass *pass, cln_error *err)
{
    const norm_impl *m = node->impl;
    const cln_stage *s = node->stage;
    const cln_shape in = node->layer->in[0];
    int rc = s->norm ? backward_coefs(node, pass, err) : CLN_OK;
    if (rc || !node->dx[0].mem || s->derived)
        return rc;
    const int r_at = s->r_plane * pass->n * in.c;
    const int ho = in.h / s->pool, wo = in.w / s->pool;
    const cln_range range =
        cln_range3((size_t)cln_div_up(ho * wo, m->chunk) * m->wide_lanes, pass->n, 1, node->tune.local);
    if (s->pool == 2)
        return cln_run(&m->bwd_apply, range, err, CLN_MEM(s->z), CLN_MEM(s->mu), CLN_MEM(s->a), CLN_MEM(s->beta),
                       CLN_MEM(node->dy), CLN_MEM(s->qr), CLN_INT(r_at), CLN_MEM(node->dx[0]),
                       CLN_INT(s->coef_stride), CLN_FLOAT(cln_stage_mask(s)), CLN_INT(ho), CLN_INT(wo), CLN_INT(in.c),
                       CLN_INT(m->chunk), CLN_INT(m->wide_lanes), CLN_INT(node->accumulate[0]));
    return cln_run(&m->bwd_apply, range, err, CLN_MEM(s->z), CLN_MEM(s->mu), CLN_MEM(s->a), CLN_MEM(s->beta),
                   CLN_MEM(node->dy), CLN_MEM(s->qr), CLN_INT(r_at), CLN_MEM(node->dx[0]),
                   CLN_INT(s->coef_stride), CLN_FLOAT(cln_stage_mask(s)), CLN_INT(ho * wo), CLN_INT(in.c),
                   CLN_INT(m->chunk), CLN_INT(m->wide_lanes), CLN_INT(node->accumulate[0]));
}

static cln_absorb absorb_relu(const cln_layer *layer)
{
    (void)layer;
    return CLN_ABSORB_RELU;
}

static cln_absorb absorb_silu(const cln_layer *layer)
{
    (void)layer;
    return CLN_ABSORB_SILU;
}

static cln_absorb absorb_celu(const cln_layer *layer)
{
    (void)layer;
    return CLN_ABSORB_CELU;
}

static cln_absorb absorb_gelu(const cln_layer *layer)
{
    (void)layer;
    return CLN_ABSORB_GELU;
}

/* ---- the descriptions ---------------------------------------------------------------------------- */

#define EPS {"eps", 1e-5, 0, 1, false, "added to the variance"}

static const cln_attr attrs_bn[] = {
    EPS, {"momentum", 0.1, 0, 1, false, "weight of the new value in the running statistics"}, {0}};
static const cln_attr attrs_gn[] = {{"groups", 4, 1, 65536, true, "groups of channels; divides them"}, EPS, {0}};
static const cln_attr attrs_eps[] = {EPS, {0}};

#define STAGE                                                                                  \
    .inputs = 1, .memory = memory_stage, .build = build_stage, .destroy = destroy_stage,       \
    .forward = forward_stage, .backward = backward_stage, .host = true
#define NORM STAGE, .norm = true, .params = params_norm, .cost = cost_norm

const cln_op cln_op_bn = {.word = "bn", .help = "batch norm: over N, H, W for each channel", .attrs = attrs_bn,
                          .whole_batch = true, .known_statistics = true, NORM};
const cln_op cln_op_ln = {.word = "ln", .help = "layer norm: over C, H, W for each sample; affine per channel",
                          .attrs = attrs_eps, NORM};
const cln_op cln_op_gn = {.word = "gn", .help = "group norm: over C/groups channels, H, W for each sample",
                          .attrs = attrs_gn, .shape = shape_gn, NORM};
const cln_op cln_op_in = {.word = "in", .help = "instance norm: over H, W for each sample and channel",
                          .attrs = attrs_eps, NORM};
/* The control: a stage with the identity for coefficients, so that it still carries the ReLU and the pool. */
const cln_op cln_op_none = {.word = "none", .help = "no normalisation", STAGE, .norm = true};
const cln_op cln_op_relu = {.word = "relu", .help = "max(x, 0)", .cost = cost_relu, STAGE, .absorb = absorb_relu};
/* Their cost is that of memory, as ReLU's. */
const cln_op cln_op_silu = {.word = "silu", .help = "x / (1 + exp(-x))", .cost = cost_relu, STAGE, .absorb = absorb_silu};
const cln_op cln_op_celu = {.word = "celu", .help = "x where it is positive, else exp(x) - 1", .cost = cost_relu, STAGE,
                            .absorb = absorb_celu};
const cln_op cln_op_gelu = {.word = "gelu", .help = "x times the normal distribution's share below x", .cost = cost_relu, STAGE,
                            .absorb = absorb_gelu};
