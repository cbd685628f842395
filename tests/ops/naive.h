/* What each layer computes, in double precision and as plainly as it can be written. The loops
 * follow the definitions, never the kernels. Images are NHWC, weights [ky][kx][ci][co]. All
 * outputs are overwritten. */
#ifndef CLN_TEST_NAIVE_H
#define CLN_TEST_NAIVE_H

#include "ops/conv.h"

/* Convolution; dense is the 1x1 convolution of an image of one pixel. b, db: NULL where s->bias is
 * false. */
void naive_conv_fwd(const cln_conv_shape *s, int n, const float *x, const float *w, const float *b,
                    double *y);

/* Weight standardisation: what such a convolution uses in place of w (malloc'ed), and the gradient of that, in d, made that
 * of w. */
float *naive_standardised(const cln_conv_shape *s, const float *w);
void naive_standardised_bwd(const cln_conv_shape *s, const float *w, double *d);
void naive_conv_bwd_data(const cln_conv_shape *s, int n, const float *dy, const float *w,
                         double *dx);
void naive_conv_bwd_params(const cln_conv_shape *s, int n, const float *x, const float *dy,
                           double *dw, double *db);

/* Windows of k x k; in and out as the layer infers them. */
void naive_maxpool_fwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *x,
                       double *y);
void naive_maxpool_bwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *x,
                       const float *dy, double *dx);
void naive_avgpool_fwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *x,
                       double *y);
void naive_avgpool_bwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *dy,
                       double *dx);
void naive_gap_fwd(cln_shape in, const float *x, double *y);
void naive_gap_bwd(cln_shape in, const float *dy, double *dx);

/* Elementwise. Of the labelled image of an addition every stride-th row and column is added to the first of the
 * output's channels. The mask holds 0 or 1 / (1 - p). */
void naive_add(cln_shape out, cln_shape labelled, int stride, const float *a, const float *b,
               double *y);
void naive_add_bwd(cln_shape out, cln_shape labelled, int stride, const float *dy, double *dx0,
                   double *dx1);
void naive_sigmoid(size_t count, const float *x, double *y);
void naive_sigmoid_bwd(size_t count, const float *x, const float *dy, double *dx);
void naive_scale(cln_shape out, const float *s, const float *x, double *y);
void naive_scale_bwd(cln_shape out, const float *s, const float *x, const float *dy, double *ds,
                     double *dx);
void naive_dropout_mask(size_t count, double p, int layer, uint32_t seed, uint32_t step,
                        double *mask);

#endif
