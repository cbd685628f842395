/* Softmax cross-entropy on the device, and the running totals that metrics are read from (cl/loss.cl). */
#ifndef CLN_LOSS_H
#define CLN_LOSS_H

#include "kernel.h"

typedef struct cln_loss {
    cln_device *dev;
    int classes;
    cln_tensor labels;                 /* (batch) int32, filled by the feed */
    cln_tensor others;                 /* likewise: second labels, whose weight is 1 - share; read where share is below 1 */
    double share;                      /* of the first labels in the loss of cln_loss_run: 1 but for mixed images */
    cln_tensor losses, hits;           /* (batch) */
    cln_tensor predicted, confidence;  /* (images) */
    cln_tensor totals, bad;
    cln_kernel rows, sum;
    int local;
} cln_loss;

typedef struct cln_totals {
    float loss, lost, hits, images; /* as on the device: see cl/loss.cl */
} cln_totals;

/* For batches up to `batch`; predictions are kept for up to `images` images. */
int cln_loss_new(cln_device *dev, int batch, int classes, int images, int local, cln_loss **out, cln_error *err);
void cln_loss_free(cln_loss *loss);

/* What it has on the device. */
size_t cln_loss_bytes(int batch, int images);

/* Enqueues: totals += these n images; dlogits where given (training), of the mean over `of` images, to which they
 * belong. Predictions go to [base, base + n). */
int cln_loss_run(cln_loss *loss, cln_tensor logits, cln_tensor dlogits, int n, int of, double smoothing, int base,
                 int step, cln_error *err);

/* Blocking: sets the totals (NULL: zero) and clears the flag / reads them; *bad_step is -1 while all is finite. */
int cln_loss_reset(cln_loss *loss, const cln_totals *totals, cln_error *err);
int cln_loss_read(cln_loss *loss, cln_totals *totals, int *bad_step, cln_error *err);

#endif
