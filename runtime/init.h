/* Initial weights beyond cln_plan_init, over which they are laid. */
#ifndef CLN_INIT_H
#define CLN_INIT_H

#include "plan.h"

struct cln_dataset;

/* Convolutions begin as passing on what they read: output channel o < min(inputs, outputs) is the centre of input channel
 * o alone (Zagoruyko & Komodakis 2017), every one of a depthwise convolution; the further outputs stay as they were drawn, and so does the layer that gives the
 * logits. */
int cln_init_dirac(cln_plan *plan, cln_error *err);

/* The convolution that reads the data begins by whitening: its filters are eigenvectors of the covariance of the patches
 * (k x k x channels, normalised as the feed does) of up to 500 of the first `images` training images, divided by the root
 * of their eigenvalue + 5e-4 (Coates & Ng 2012). The vectors of the largest values come first, as many as fit in pairs of
 * signs, the negative ones behind the positive ones; filters beyond stay as they were drawn. All are trained on.
 * CLN_ERR_ARGUMENT where no convolution reads the data or where a patch is larger than an image. */
int cln_init_whiten(cln_plan *plan, const struct cln_dataset *data, size_t images, cln_error *err);

#endif
