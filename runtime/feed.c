#include "feed.h"

#include "op.h"
#include "philox.h"

#include <stdlib.h>

enum { NORM_VALUES = 8 }; /* means, and reciprocal deviations, of up to 4 channels */

static int upload_images(cln_feed *feed, const uint8_t *images, cln_error *err)
{
    const size_t image = (size_t)feed->c * feed->h * feed->w;
    const size_t fit = (size_t)feed->dev->info.max_alloc / image;
    feed->per_chunk = fit < (size_t)feed->n ? (int)fit : feed->n;
    if (feed->per_chunk < 1)
        return CLN_FAIL(err, CLN_ERR_DEVICE_MEMORY, "one image of %zu bytes exceeds the device's largest allocation", image);
    const int chunks = (feed->n + feed->per_chunk - 1) / feed->per_chunk;
    feed->chunks = calloc((size_t)chunks, sizeof *feed->chunks);
    if (!feed->chunks)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while uploading the data set");
    feed->n_chunks = chunks;
    int rc = CLN_OK;
    for (int i = 0; i < chunks && !rc; i++) {
        const int low = i * feed->per_chunk;
        const size_t count = (size_t)(feed->n - low < feed->per_chunk ? feed->n - low : feed->per_chunk);
        rc = cln_tensor_new(feed->dev, count * image, "the data set", &feed->chunks[i], err);
        if (!rc)
            rc = cln_tensor_write(feed->dev, feed->chunks[i], 0, images + (size_t)low * image, count * image, err);
    }
    return rc;
}

static int write_new(cln_device *dev, const void *bytes, size_t n, const char *what, cln_tensor *out, cln_error *err)
{
    int rc = cln_tensor_new(dev, n, what, out, err);
    return rc ? rc : cln_tensor_write(dev, *out, 0, bytes, n, err);
}

size_t cln_feed_bytes(int n, int c, int h, int w)
{
    return (size_t)n * ((size_t)c * (size_t)h * (size_t)w + 1 + sizeof(int32_t)) + NORM_VALUES * sizeof(float);
}

/* order == NULL: the identity. */
static int upload_order(cln_feed *feed, int32_t *order, cln_error *err)
{
    return feed->order.mem ? cln_tensor_write(feed->dev, feed->order, 0, order, (size_t)feed->n * sizeof *order, err)
                           : write_new(feed->dev, order, (size_t)feed->n * sizeof *order, "the order", &feed->order, err);
}

static int32_t *identity(int n, cln_error *err)
{
    int32_t *order = malloc((size_t)n * sizeof *order);
    for (int i = 0; order && i < n; i++)
        order[i] = i;
    if (!order)
        CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while ordering the data set");
    return order;
}

int cln_feed_new(cln_device *dev, const uint8_t *images, const uint8_t *labels, int n, int c, int h, int w,
                 const float *mean, const float *std, cln_feed **out, cln_error *err)
{
    if (n < 1 || c < 1 || c > 4)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "a feed needs at least one image of 1 to 4 channels, not %d of %d", n, c);
    cln_feed *feed = calloc(1, sizeof *feed);
    int32_t *order = identity(n, err);
    int rc = feed && order ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while uploading the data set");
    float norm[NORM_VALUES] = {0, 0, 0, 0, 1, 1, 1, 1};
    for (int i = 0; i < c; i++) {
        norm[i] = mean[i];
        norm[4 + i] = 1.0f / std[i];
    }
    if (!rc) {
        const cln_tune_request automatic = {CLN_CLASS_AUTO, -1};
        *feed = (cln_feed){.dev = dev, .n = n, .c = c, .h = h, .w = w};
        feed->rows = cln_tune_class(&dev->info, &automatic) == CLN_CLASS_VECTOR ? h : 1;
        rc = upload_images(feed, images, err);
    }
    if (!rc)
        rc = write_new(dev, labels, (size_t)n, "the labels", &feed->labels, err);
    if (!rc)
        rc = write_new(dev, norm, sizeof norm, "mean and deviation", &feed->norm, err);
    if (!rc)
        rc = upload_order(feed, order, err);
    if (!rc)
        rc = cln_kernel_new(dev, "plain.cl", "feed_gather", "", &feed->gather, err);
    free(order);
    if (rc) {
        cln_feed_free(feed);
        return rc;
    }
    *out = feed;
    return CLN_OK;
}

void cln_feed_free(cln_feed *feed)
{
    if (!feed)
        return;
    for (int i = 0; i < feed->n_chunks; i++)
        cln_tensor_free(&feed->chunks[i]);
    free(feed->chunks);
    cln_tensor_free(&feed->labels);
    cln_tensor_free(&feed->order);
    cln_tensor_free(&feed->norm);
    cln_tensor_free(&feed->other);
    cln_kernel_free(&feed->gather);
    cln_kernel_free(&feed->cutout);
    cln_kernel_free(&feed->mix);
    free(feed);
}

int cln_feed_shuffle(cln_feed *feed, uint32_t seed, uint32_t epoch, cln_error *err)
{
    int32_t *order = identity(feed->n, err);
    if (!order)
        return CLN_ERR_MEMORY;
    for (int i = feed->n - 1; i > 0; i--) {
        const cln_philox r = cln_philox4x32((uint32_t)i, epoch, 0, CLN_STREAM_SHUFFLE, seed, 0);
        const int j = (int)cln_random_below(r.v[0], (uint32_t)i + 1);
        const int32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    int rc = upload_order(feed, order, err);
    free(order);
    return rc;
}

static int kernel_of(cln_feed *feed, cln_kernel *kernel, const char *name, cln_error *err)
{
    return kernel->id ? CLN_OK : cln_kernel_new(feed->dev, "plain.cl", name, "", kernel, err);
}

/* Items of a group: one in the vector class, where an item has much to do. */
static size_t local_of(const cln_feed *feed, size_t simt) { return feed->rows > 1 ? 1 : simt; }

static int cut_out(cln_feed *feed, int base, int count, const cln_augment *a, cln_tensor x, cln_error *err)
{
    int rc = kernel_of(feed, &feed->cutout, "feed_cutout", err);
    return rc ? rc : cln_run(&feed->cutout, cln_range1((size_t)count, local_of(feed, 64)), err, CLN_MEM(feed->order), CLN_MEM(x), CLN_INT(base),
                             CLN_INT(count), CLN_INT(feed->h), CLN_INT(feed->w), CLN_INT(feed->c), CLN_UINT(a->seed),
                             CLN_UINT(a->epoch), CLN_INT(a->cutout));
}

int cln_feed_batch(cln_feed *feed, int base, int count, const cln_augment *augment, cln_tensor x, cln_tensor y,
                   cln_error *err)
{
    const cln_augment none = {.flip = CLN_FLIP_NONE};
    const cln_augment *a = augment ? augment : &none;
    int rc = CLN_OK;
    if (base < 0 || count < 0 || base > feed->n - count)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "batch [%d, %d) of %d images", base, base + count, feed->n);
    for (int i = 0; i < feed->n_chunks && !rc; i++) {
        const int low = i * feed->per_chunk;
        const int high = low + feed->per_chunk < feed->n ? low + feed->per_chunk : feed->n;
        rc = cln_run(&feed->gather, cln_range3((size_t)cln_div_up(feed->h, feed->rows), (size_t)count, 1, local_of(feed, 32)), err,
                     CLN_MEM(feed->chunks[i]), CLN_MEM(feed->labels), CLN_MEM(feed->order), CLN_MEM(x), CLN_MEM(y), CLN_INT(low), CLN_INT(high),
                     CLN_INT(base), CLN_INT(count), CLN_INT(feed->c), CLN_INT(feed->h), CLN_INT(feed->w),
                     CLN_INT(feed->rows), CLN_MEM(feed->norm), CLN_UINT(a->seed), CLN_UINT(a->epoch), CLN_INT(a->flip), CLN_INT(a->shift));
    }
    return rc || !a->cutout ? rc : cut_out(feed, base, count, a, x, err);
}

int cln_feed_mix(cln_feed *feed, int base, int count, const cln_augment *augment, double weight, cln_tensor x, cln_tensor y,
                 cln_error *err)
{
    const int values = count * feed->h * feed->w * feed->c, chunk = feed->rows > 1 ? 4096 : 4;
    const size_t bytes = (size_t)values * sizeof(float);
    int rc = kernel_of(feed, &feed->mix, "feed_mix", err);
    if (!rc && feed->other.bytes < bytes) {
        cln_tensor_free(&feed->other);
        rc = cln_tensor_new(feed->dev, bytes, "the images that are mixed in", &feed->other, err);
    }
    if (!rc)
        rc = cln_feed_batch(feed, base, count, augment, feed->other, y, err);
    return rc ? rc : cln_run(&feed->mix, cln_range1((size_t)cln_div_up(values, chunk), local_of(feed, 64)), err, CLN_MEM(x), CLN_MEM(feed->other),
                             CLN_INT(values), CLN_INT(chunk), CLN_FLOAT(weight));
}
