/* What a step does behind the network, in double precision and as plainly as it can be written, and the device held
 * against it. */
#ifndef CLN_TRAINING_H
#define CLN_TRAINING_H

#include "ops/verdict.h"
#include "optim.h"

/* -sum_k q_k log softmax(x)_k with q = (1 - s) onehot + s / K, mean over n images; dx (n, K) is its derivative,
 * confidence (n) the largest probability. */
double naive_loss(int n, int classes, const float *x, const int32_t *labels, double s, double *dx,
                  double *confidence);

/* One step of an optimiser on count parameters; decays: whether parameter i is a weight that decays. v: AdamW's alone. */
/* sgd, adamw */
void naive_optim_step(cln_optimizer kind, const cln_optim_rates *r, size_t count,
                      const char *decays, const double *g, double *w, double *m, double *v);
void naive_muon_step(const cln_optim_rates *r, const cln_plan *plan, const char *decays, const double *g, double *w, double *m);

/* Loss, gradient, hits, predictions and confidence over 9 images of 7 classes, logits of size `scale`. */
void cln_loss_check(cln_device *dev, float scale, double smoothing, int local, cln_verdict *v);

/* Four steps on the parameters of the network `text` (its last layer has 7 outputs): weights and moments. */
void cln_optim_check(cln_device *dev, const char *text, cln_optimizer kind, bool nesterov,
                     const cln_tune_request *tune, cln_verdict *v);

#endif
