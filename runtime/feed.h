/* Batches from a data set that lives on the device as bytes (cl/feed.cl). */
#ifndef CLN_FEED_H
#define CLN_FEED_H

#include "kernel.h"

typedef struct cln_feed {
    cln_device *dev;
    int n, c, h, w;           /* images and their shape */
    cln_tensor *chunks;       /* image bytes, in as few buffers as the maximum allocation allows */
    int n_chunks, per_chunk;  /* images in each but the last */
    int rows;                 /* of an image that a work-item gathers */
    cln_tensor labels, order, norm;
    cln_kernel gather, cutout, mix; /* the last two are made when they are first wanted */
    cln_tensor other;               /* the images that are mixed in; likewise */
} cln_feed;

enum { CLN_FLIP_ALWAYS = CLN_FLIP_ALTERNATING + 1 }; /* beyond the settings' cln_flip: to evaluate on */

typedef struct cln_augment {
    int flip;        /* cln_flip or CLN_FLIP_ALWAYS */
    int shift;       /* reflect-padded translation by up to so many pixels */
    uint32_t seed, epoch;
    int cutout;      /* side of the square that is blanked; 0: none */
} cln_augment;

/* Uploads n images (n x c x h x w bytes, planes) and labels; mean and std have c entries, of bytes / 255.
 * The host arrays are free to go afterwards. The order is 0, 1, 2, ... until cln_feed_shuffle. */
int cln_feed_new(cln_device *dev, const uint8_t *images, const uint8_t *labels, int n, int c, int h, int w,
                 const float *mean, const float *std, cln_feed **out, cln_error *err);
void cln_feed_free(cln_feed *feed);

/* Of a feed of n images: what it has on the device. */
size_t cln_feed_bytes(int n, int c, int h, int w);

/* A new order for an epoch: Fisher-Yates with counter-based numbers, a function of (seed, epoch) alone. */
int cln_feed_shuffle(cln_feed *feed, uint32_t seed, uint32_t epoch, cln_error *err);

/* Enqueues: images order[base ... base + count) into x (count, h, w, c) and y (count, int32). augment NULL: none. */
int cln_feed_batch(cln_feed *feed, int base, int count, const cln_augment *augment, cln_tensor x, cln_tensor y,
                   cln_error *err);

/* Enqueues: x, which holds `count` images, becomes weight x + (1 - weight) the images order[base ... base + count), augmented
 * likewise; the labels of these go to y. */
int cln_feed_mix(cln_feed *feed, int base, int count, const cln_augment *augment, double weight, cln_tensor x, cln_tensor y,
                 cln_error *err);

#endif
