#include "init.h"

#include "dataset.h"
#include "eigen.h"

#include <math.h>
#include <stdlib.h>

/* The weights of a convolution, on the host: [ky][kx][in][out]. */
typedef struct weights {
    const cln_slot *slot;
    int k, in, out;
    float *values;
} weights;

static bool is_convolution(const cln_slot *slot)
{
    return !slot->state && slot->param.rank == 4 && slot->param.init == CLN_INIT_KAIMING;
}

static int read_weights(const cln_plan *plan, const cln_slot *slot, weights *w, cln_error *err)
{
    *w = (weights){slot, slot->param.dims[0], slot->param.dims[2], slot->param.dims[3],
                   malloc(slot->count * sizeof *w->values)};
    if (!w->values)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while making initial weights");
    return cln_tensor_read(plan->dev, plan->weights, slot->offset * sizeof(float), w->values, slot->count * sizeof(float), err);
}

static int write_weights(const cln_plan *plan, const weights *w, cln_error *err)
{
    return cln_tensor_write(plan->dev, plan->weights, w->slot->offset * sizeof(float), w->values,
                            w->slot->count * sizeof(float), err);
}

int cln_init_dirac(cln_plan *plan, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < plan->n_slots && !rc; i++) {
        const cln_slot *slot = &plan->slots[i];
        weights w = {0};
        if (!is_convolution(slot) || slot->layer == plan->net->n_layers - 1)
            continue;
        rc = read_weights(plan, slot, &w, err);
        const bool depthwise = w.in < plan->net->layers[slot->layer].in[0].c;
        const int centre = w.k / 2 * w.k + w.k / 2, all = w.k * w.k * w.in;
        const int passed = depthwise || w.out < w.in ? w.out : w.in;
        for (int j = 0; !rc && j < all; j++)
            for (int o = 0; o < passed; o++)
                w.values[j * w.out + o] = j == centre * w.in + (depthwise ? 0 : o);
        if (!rc)
            rc = write_weights(plan, &w, err);
        free(w.values);
    }
    return rc;
}

/* ---- whitening ----------------------------------------------------------------------------------- */

/* The patch whose upper left corner is (y, x), in the order of the weights: [ky][kx][channel]. */
static void take_patch(const cln_dataset *d, const uint8_t *image, int k, int y, int x, double *patch)
{
    for (int ky = 0; ky < k; ky++)
        for (int kx = 0; kx < k; kx++)
            for (int c = 0; c < d->c; c++)
                *patch++ = (image[(c * d->h + y + ky) * d->w + x + kx] / 255.0 - (double)d->mean[c]) / (double)d->std[c];
}

/* Covariance of all patches of every `step`-th image; sum: n values. The values are normalised ones, so that the
 * difference of moments is safe in double precision. */
static void covariance(const cln_dataset *d, size_t images, size_t step, int k, double *patch, double *sum, double *cov)
{
    const int n = k * k * d->c;
    size_t count = 0;
    for (size_t i = 0; i < images; i += step)
        for (int y = 0; y + k <= d->h; y++)
            for (int x = 0; x + k <= d->w; x++, count++) {
                take_patch(d, d->train_x + i * (size_t)d->c * (size_t)d->h * (size_t)d->w, k, y, x, patch);
                for (int a = 0; a < n; a++) {
                    sum[a] += patch[a];
                    for (int b = 0; b <= a; b++)
                        cov[a * n + b] += patch[a] * patch[b];
                }
            }
    const double all = (double)count;
    for (int a = 0; a < n; a++)
        for (int b = 0; b <= a; b++)
            cov[a * n + b] = cov[b * n + a] = cov[a * n + b] / all - sum[a] / all * (sum[b] / all);
}

static void set_filters(weights *w, const double *values, const double *vectors)
{
    enum { EPS_INVERSE = 2000 };
    const int n = w->k * w->k * w->in, pairs = w->out / 2 < n ? w->out / 2 : n;
    for (int f = 0; f < pairs; f++) {
        const double scale = 1 / sqrt(fmax(values[f * n + f], 0) + 1.0 / EPS_INVERSE);
        for (int j = 0; j < n; j++) {
            w->values[j * w->out + f] = (float)(scale * vectors[j * n + f]);
            w->values[j * w->out + pairs + f] = -w->values[j * w->out + f];
        }
    }
}

static int find_first(const cln_plan *plan, const cln_dataset *data, const cln_slot **out, cln_error *err)
{
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        if (!is_convolution(slot) || plan->net->layers[slot->layer].input[0] >= 0)
            continue;
        if (slot->param.dims[0] > data->h || slot->param.dims[0] > data->w || slot->param.dims[2] != data->c)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "whiten: layer %d has patches that images of %dx%d do not have",
                            slot->layer, data->h, data->w);
        *out = slot;
        return CLN_OK;
    }
    return CLN_FAIL(err, CLN_ERR_ARGUMENT, "whiten: no convolution of %s reads the images", plan->net->name);
}

int cln_init_whiten(cln_plan *plan, const cln_dataset *data, size_t images, cln_error *err)
{
    enum { SAMPLE = 500 };
    const cln_slot *slot = NULL;
    weights w = {0};
    int rc = find_first(plan, data, &slot, err);
    if (!rc)
        rc = read_weights(plan, slot, &w, err);
    const size_t n = rc ? 0 : (size_t)(w.k * w.k * w.in);
    double *room = calloc(2 * n * n + 2 * n + 1, sizeof *room);
    if (!rc && !room)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while making initial weights");
    if (!rc) {
        double *cov = room, *vectors = cov + n * n, *patch = vectors + n * n, *sum = patch + n;
        covariance(data, images, (images + SAMPLE - 1) / SAMPLE, w.k, patch, sum, cov);
        cln_eigen_symmetric(cov, vectors, (int)n);
        set_filters(&w, cov, vectors);
        rc = write_weights(plan, &w, err);
    }
    free(room);
    free(w.values);
    return rc;
}
