/* Convolution as a matrix product: im2col, then CLBlast's SGEMM (cl/im2col.cl has the formulas).
 * The path that any device can fall back on, and the good one for large layers on a device for
 * which CLBlast is tuned.
 *
 * Works in chunks of whole images, so that the column buffer stays within MAX_COLUMN_BYTES (or one
 * image's columns where those are larger). A 1x1 convolution with stride 1 and no padding is its
 * own column buffer.
 * CLBlast compiles its kernels at the first call of a process; through PoCL that takes some 20 s
 * the first time ever and 0.4 s from PoCL's cache. Its programs live until the process ends.
 * Source: Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for
 * document processing"; Nugteren 2018, "CLBlast: a tuned OpenCL BLAS library". */
#include "conv.h"

#include <clblast_c.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_COLUMN_BYTES = 16 * 1048576,
    BIAS_ROWS = 1024, /* pixels that one item adds up for the bias gradient */
    /* CLBlast's kernels for devices that it does not know need work-groups and local memory (bytes) of up to these */
    CLBLAST_GROUP = 256,
    CLBLAST_LOCAL = 16 * 1024,
};

typedef struct gemm_state {
    cln_conv_shape s;
    int direction;
    int images;         /* per chunk */
    int v;              /* of the column kernels */
    cln_kernel columns; /* im2col or col2im; cleared where x is the column buffer */
    cln_kernel bias;    /* forward: fills y with the bias; backward-params: sums dy */
} gemm_state;

static bool is_direct(const cln_conv_shape *s)
{
    return s->k == 1 && s->stride == 1 && s->pad == 0;
}

static size_t patch_of(const cln_conv_shape *s)
{
    return (size_t)s->k * (size_t)s->k * (size_t)s->ci;
}

static size_t column_bytes(const cln_conv_shape *s) /* of one image */
{
    return (size_t)s->ho * (size_t)s->wo * patch_of(s) * sizeof(float);
}

static int chunk_images(const cln_device_info *info, const cln_conv_shape *s, int n)
{
    const size_t most = info->max_alloc < MAX_COLUMN_BYTES ? (size_t)info->max_alloc : MAX_COLUMN_BYTES;
    const size_t fit = most / column_bytes(s);
    return fit < 1 ? 1 : fit < (size_t)n ? (int)fit : n;
}

static bool gemm_supports(const cln_device_info *info, const cln_conv_shape *s, int direction)
{
    (void)direction;
    return info->max_local_size >= CLBLAST_GROUP && info->local_mem >= CLBLAST_LOCAL &&
           (is_direct(s) || column_bytes(s) <= info->max_alloc);
}

static size_t bias_bytes(const cln_conv_shape *s, int n)
{
    const size_t rows = (size_t)n * (size_t)s->ho * (size_t)s->wo;
    return (rows + BIAS_ROWS - 1) / BIAS_ROWS * (size_t)s->co * sizeof(float);
}

static void gemm_memory(const cln_device_info *info, const cln_conv_shape *s, int n, int direction,
                        size_t *scratch, size_t *saved)
{
    *saved = 0;
    *scratch = is_direct(s) ? 0 : (size_t)chunk_images(info, s, n) * column_bytes(s);
    /* the bias gradient comes after the products, in the same bytes */
    if (direction == CLN_CONV_BWD_PARAMS && s->bias && bias_bytes(s, n) > *scratch)
        *scratch = bias_bytes(s, n);
}

static void gemm_destroy(void *state)
{
    gemm_state *m = state;
    if (!m)
        return;
    cln_kernel_free(&m->columns);
    cln_kernel_free(&m->bias);
    free(m);
}

static int gemm_create(cln_node *node, const cln_conv_shape *s, int direction, void **state,
                       cln_error *err)
{
    const bool backward_data = direction == CLN_CONV_BWD_DATA;
    char options[32];
    gemm_state *m = calloc(1, sizeof *m);
    if (!m)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while placing layer %d",
                        node->layer->index);
    m->s = *s;
    m->direction = direction;
    m->images = chunk_images(&node->dev->info, s, node->layer->in[0].n);
    m->v = s->ci % node->tune.v ? 1 : node->tune.v;
    snprintf(options, sizeof options, "-D V=%d", m->v);
    int rc = CLN_OK;
    if (!is_direct(s))
        rc = cln_kernel_new(node->dev, "im2col.cl",
                            backward_data ? "conv_bwd_col2im" : "conv_fwd_im2col", options,
                            &m->columns, err);
    if (!rc && s->bias && !backward_data)
        rc = cln_kernel_new(node->dev, "im2col.cl",
                            direction == CLN_CONV_FWD ? "conv_fwd_bias_gemm" : "conv_bwd_bias_gemm",
                            options, &m->bias, err);
    if (rc) {
        gemm_destroy(m);
        return rc;
    }
    *state = m;
    return CLN_OK;
}

/* ---- one product ----------------------------------------------------------------------------- */

typedef struct matrix {
    cln_tensor t;
    size_t offset, ld; /* in floats; ld is the row length */
    bool transposed;
} matrix;

/* c (m, n) = beta c + a (m, k) b (k, n), row-major. */
static int product(cln_node *node, size_t m, size_t n, size_t k, matrix a, matrix b, float beta,
                   matrix c, cln_error *err)
{
    const CLBlastTranspose ta = a.transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
    const CLBlastTranspose tb = b.transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
    const CLBlastStatusCode status =
        CLBlastSgemm(CLBlastLayoutRowMajor, ta, tb, m, n, k, 1.0f, a.t.mem, a.offset, a.ld, b.t.mem,
                     b.offset, b.ld, beta, c.t.mem, c.offset, c.ld, &node->dev->queue, NULL);
    if (status == CLBlastSuccess)
        return CLN_OK;
    const int code = (int)status == CL_OUT_OF_HOST_MEMORY              ? CLN_ERR_MEMORY
                     : (int)status == CL_MEM_OBJECT_ALLOCATION_FAILURE ? CLN_ERR_DEVICE_MEMORY
                     : (int)status == CL_BUILD_PROGRAM_FAILURE         ? CLN_ERR_BUILD
                                                                       : CLN_ERR_CL;
    return CLN_FAIL(
        err, code,
        "CLBlastSgemm (layer %d, %zu x %zu x %zu): %s (%d); --conv simt does without CLBlast",
        node->layer->index, m, n, k,
        (int)status <= -1002 ? "a status of CLBlast's own" : cln_cl_status_name((int)status),
        (int)status);
}

/* im2col or col2im of `count` images from `image` on. */
static int columns(const gemm_state *m, cln_node *node, int image, int count, cln_error *err)
{
    const cln_conv_shape *s = &m->s;
    const bool data = m->direction == CLN_CONV_BWD_DATA,
               vector = node->tune.cls == CLN_CLASS_VECTOR;
    const int width = data ? s->w : s->wo,
              vectors = (int)(data ? (size_t)s->ci : patch_of(s)) / m->v;
    const int span = vector ? width : 1, lanes = vector ? 1 : vectors;
    const cln_range range = cln_range3((size_t)cln_div_up(width, span) * lanes, data ? s->h : s->ho,
                                       (size_t)count, (size_t)node->tune.local);
    if (data)
        return cln_run(&m->columns, range, err, CLN_MEM(node->scratch), CLN_MEM(node->dx[0]),
                       CLN_INT(image), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho),
                       CLN_INT(s->wo), CLN_INT(s->k), CLN_INT(s->stride), CLN_INT(s->pad),
                       CLN_INT(span), CLN_INT(lanes), CLN_INT(node->accumulate[0]));
    return cln_run(&m->columns, range, err, CLN_MEM(node->x[0]), CLN_MEM(node->scratch),
                   CLN_INT(image), CLN_INT(s->h), CLN_INT(s->w), CLN_INT(s->ci), CLN_INT(s->ho),
                   CLN_INT(s->wo), CLN_INT(s->k), CLN_INT(s->stride), CLN_INT(s->pad),
                   CLN_INT(span), CLN_INT(lanes));
}

/* ---- the directions, one chunk of images ----------------------------------------------------- */

static int forward_chunk(const gemm_state *m, cln_node *node, int image, int count, cln_error *err)
{
    const cln_conv_shape *s = &m->s;
    const size_t pixels = (size_t)s->ho * s->wo, patch = patch_of(s), co = (size_t)s->co;
    const bool direct = is_direct(s);
    const matrix col = {direct ? node->x[0] : node->scratch, direct ? image * pixels * patch : 0,
                        patch, false};
    const matrix w = {node->param[0], 0, co, false}, y = {node->y, image * pixels * co, co, false};
    int rc = direct ? CLN_OK : columns(m, node, image, count, err);
    return rc ? rc
              : product(node, count * pixels, co, patch, col, w, s->bias ? 1.0f : 0.0f, y, err);
}

static int data_chunk(const gemm_state *m, cln_node *node, int image, int count, cln_error *err)
{
    const cln_conv_shape *s = &m->s;
    const size_t pixels = (size_t)s->ho * s->wo, patch = patch_of(s), co = (size_t)s->co;
    const bool direct = is_direct(s);
    const matrix dy = {node->dy, image * pixels * co, co, false}, w = {node->param[0], 0, co, true};
    const matrix col = {direct ? node->dx[0] : node->scratch, direct ? image * pixels * patch : 0,
                        patch, false};
    const float beta = direct && node->accumulate[0] ? 1.0f : 0.0f;
    int rc = product(node, count * pixels, patch, co, dy, w, beta, col, err);
    return rc || direct ? rc : columns(m, node, image, count, err);
}

/* Chunks add to dw in order: the same sum every time. */
static int params_chunk(const gemm_state *m, cln_node *node, int image, int count, cln_error *err)
{
    const cln_conv_shape *s = &m->s;
    const size_t pixels = (size_t)s->ho * s->wo, patch = patch_of(s), co = (size_t)s->co;
    const bool direct = is_direct(s);
    const matrix col = {direct ? node->x[0] : node->scratch, direct ? image * pixels * patch : 0,
                        patch, true};
    const matrix dy = {node->dy, image * pixels * co, co, false},
                 dw = {node->grad[0], 0, co, false};
    int rc = direct ? CLN_OK : columns(m, node, image, count, err);
    return rc ? rc
              : product(node, patch, co, count * pixels, col, dy, image ? 1.0f : 0.0f, dw, err);
}

/* ---- the bias -------------------------------------------------------------------------------- */

static int bias_fill(const gemm_state *m, cln_node *node, int n, cln_error *err)
{
    const int rows = n * m->s.ho * m->s.wo, co = m->s.co;
    const int span = node->tune.cls == CLN_CLASS_VECTOR ? cln_max(1, 4096 / co) : 1;
    return cln_run(&m->bias, cln_range1((size_t)cln_div_up(rows, span), (size_t)node->tune.local),
                   err, CLN_MEM(node->param[1]), CLN_MEM(node->y), CLN_INT(rows), CLN_INT(co),
                   CLN_INT(span));
}

static int bias_sums(const gemm_state *m, cln_node *node, int n, cln_error *err)
{
    const int rows = n * m->s.ho * m->s.wo, chunks = cln_div_up(rows, BIAS_ROWS), co = m->s.co;
    const size_t local = (size_t)node->tune.local;
    int rc = cln_run(&m->bias, cln_range1((size_t)chunks * co, local), err, CLN_MEM(node->dy),
                     CLN_MEM(node->scratch), CLN_INT(rows), CLN_INT(co), CLN_INT(BIAS_ROWS));
    return rc ? rc
              : cln_run(&m->bias, cln_range1((size_t)co, local), err, CLN_MEM(node->scratch),
                        CLN_MEM(node->grad[1]), CLN_INT(chunks), CLN_INT(co), CLN_INT(chunks));
}

static int gemm_run(void *state, cln_node *node, cln_tensor saved, const cln_pass *pass, cln_error *err)
{
    const int n = pass->n;
    const gemm_state *m = state;
    int (*const chunk[])(const gemm_state *, cln_node *, int, int,
                         cln_error *) = {forward_chunk, data_chunk, params_chunk};
    int rc = CLN_OK;
    (void)saved;
    if (m->direction == CLN_CONV_FWD && m->s.bias)
        rc = bias_fill(m, node, n, err);
    for (int image = 0; image < n && !rc; image += m->images)
        rc =
            chunk[m->direction](m, node, image, n - image < m->images ? n - image : m->images, err);
    if (!rc && m->direction == CLN_CONV_BWD_PARAMS && m->s.bias)
        rc = bias_sums(m, node, n, err);
    return rc;
}

const cln_conv_impl cln_conv_gemm = {
    .supports = gemm_supports,
    .memory = gemm_memory,
    .strip_rows = NULL,
    .create = gemm_create,
    .destroy = gemm_destroy,
    .run = gemm_run,
};
