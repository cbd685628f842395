#include "train.h"

#include "dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void cln_evaluation_clear(cln_evaluation *e)
{
    free(e->predicted);
    free(e->confidence);
    memset(e, 0, sizeof *e);
}

/* augment: NULL for images as they are. */
static int run_batches(cln_plan *plan, cln_feed *feed, cln_loss *loss, const cln_augment *augment, float *logits,
                       cln_error *err)
{
    const int batch = cln_tune_micro(plan->dev, &plan->options.tune, cln_net_macs(plan->net), plan->net->input.n);
    const size_t classes = (size_t)plan->net->classes;
    cln_pace pace = {0};
    int rc = CLN_OK;
    for (int base = 0, step = 0; base < feed->n && !rc; base += batch, step++) {
        const int count = feed->n - base < batch ? feed->n - base : batch;
        const cln_pass pass = {.n = count, .same_weights = base > 0};
        rc = cln_feed_batch(feed, base, count, augment, plan->input, loss->labels, err);
        if (!rc)
            rc = cln_plan_forward(plan, &pass, err);
        if (!rc)
            rc = cln_loss_run(loss, plan->logits, (cln_tensor){0}, count, count, 0.0, base, step, err);
        if (!rc && logits)
            rc = cln_tensor_read(plan->dev, plan->logits, 0, logits + (size_t)base * classes,
                                 (size_t)count * classes * sizeof *logits, err);
        if (!rc)
            rc = cln_pace_step(plan->dev, &pace, err);
    }
    cln_pace_clear(&pace);
    return rc;
}

/* The same with the loss's totals left as they were; `totals` are those of these images. */
static int run_apart(cln_plan *plan, cln_feed *feed, cln_loss *loss, const cln_augment *augment, float *logits,
                     cln_totals *totals, cln_error *err)
{
    cln_totals keep;
    int bad;
    int rc = cln_loss_read(loss, &keep, &bad, err);
    if (!rc)
        rc = cln_loss_reset(loss, NULL, err);
    if (!rc)
        rc = run_batches(plan, feed, loss, augment, logits, err);
    if (!rc)
        rc = cln_loss_read(loss, totals, &bad, err);
    return rc ? rc : cln_loss_reset(loss, &keep, err);
}

int cln_evaluate(cln_plan *plan, cln_feed *feed, cln_loss *loss, float *logits, cln_evaluation *out, cln_error *err)
{
    const size_t bytes = (size_t)feed->n * sizeof(int32_t);
    cln_totals totals;
    cln_evaluation e = {.n = feed->n, .predicted = malloc(bytes), .confidence = malloc(bytes), .acc_flip = NAN};
    int rc = e.predicted && e.confidence ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while evaluating");
    if (!rc)
        rc = run_apart(plan, feed, loss, NULL, logits, &totals, err);
    if (!rc)
        rc = cln_tensor_read(plan->dev, loss->predicted, 0, e.predicted, bytes, err);
    if (!rc)
        rc = cln_tensor_read(plan->dev, loss->confidence, 0, e.confidence, bytes, err);
    for (int i = 0; i < e.n && !rc; i++) /* others count by them */
        if (e.predicted[i] < 0 || e.predicted[i] >= plan->net->classes)
            rc = CLN_FAIL(err, CLN_ERR_DEVICE, "device %d (%s) computes wrongly: it gives image %d the class %d of %d; clnorm doctor tells more",
                          plan->dev->info.index, plan->dev->info.name, i, (int)e.predicted[i], plan->net->classes);
    if (rc) {
        cln_evaluation_clear(&e);
        return rc;
    }
    e.loss = totals.loss / totals.images;
    e.acc = 100.0 * totals.hits / totals.images;
    *out = e;
    return CLN_OK;
}

/* Images whose class has the largest sum of both rows of k; of equals the first. */
static int count_hits(const float *a, const float *b, const uint8_t *labels, int n, int k)
{
    int hits = 0;
    for (int i = 0; i < n; i++, a += k, b += k) {
        int best = 0;
        for (int j = 1; j < k; j++)
            best = a[j] + b[j] > a[best] + b[best] ? j : best;
        hits += best == labels[i];
    }
    return hits;
}

int cln_evaluate_flip(cln_plan *plan, cln_feed *feed, cln_loss *loss, const float *logits, double *acc, cln_error *err)
{
    const cln_augment mirror = {.flip = CLN_FLIP_ALWAYS};
    const int classes = plan->net->classes;
    cln_totals totals;
    float *mirrored = malloc((size_t)feed->n * (size_t)classes * sizeof *mirrored);
    uint8_t *labels = malloc((size_t)feed->n);
    int rc = mirrored && labels ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while evaluating");
    if (!rc)
        rc = run_apart(plan, feed, loss, &mirror, mirrored, &totals, err);
    if (!rc)
        rc = cln_tensor_read(plan->dev, feed->labels, 0, labels, (size_t)feed->n, err);
    if (!rc)
        *acc = 100.0 * count_hits(logits, mirrored, labels, feed->n, classes) / feed->n;
    free(mirrored);
    free(labels);
    return rc;
}

static int evaluate(cln_trainer *t, cln_evaluation *out, cln_error *err)
{
    if (!t->options.test_flip)
        return cln_evaluate(t->plan, t->test, t->loss, NULL, out, err);
    float *logits = malloc((size_t)t->test->n * (size_t)t->data->classes * sizeof *logits);
    int rc = logits ? cln_evaluate(t->plan, t->test, t->loss, logits, out, err)
                    : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while evaluating");
    if (!rc) {
        rc = cln_evaluate_flip(t->plan, t->test, t->loss, logits, &out->acc_flip, err);
        if (rc)
            cln_evaluation_clear(out);
    }
    free(logits);
    return rc;
}

int cln_trainer_evaluate(cln_trainer *t, cln_evaluation *out, cln_error *err)
{
    *out = (cln_evaluation){0};
    int rc = t->average ? cln_average_swap(t->average, t->plan, err) : CLN_OK;
    if (rc)
        return rc;
    rc = evaluate(t, out, err);
    if (!t->average)
        return rc;
    const int back = cln_average_swap(t->average, t->plan, rc ? NULL : err);
    if (!rc && back)
        cln_evaluation_clear(out);
    return rc ? rc : back;
}
