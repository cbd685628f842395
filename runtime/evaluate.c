#include "train.h"

#include <stdlib.h>
#include <string.h>

void cln_evaluation_clear(cln_evaluation *e)
{
    free(e->predicted);
    free(e->confidence);
    memset(e, 0, sizeof *e);
}

static int run_batches(cln_plan *plan, cln_feed *feed, cln_loss *loss, float *logits, cln_error *err)
{
    const int batch = cln_tune_micro(&plan->dev->info, &plan->options.tune, plan->net->input.n);
    const size_t classes = (size_t)plan->net->classes;
    cln_pace pace = {0};
    int rc = CLN_OK;
    for (int base = 0, step = 0; base < feed->n && !rc; base += batch, step++) {
        const int count = feed->n - base < batch ? feed->n - base : batch;
        const cln_pass pass = {.n = count, .same_weights = base > 0};
        rc = cln_feed_batch(feed, base, count, NULL, plan->input, loss->labels, err);
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

int cln_evaluate(cln_plan *plan, cln_feed *feed, cln_loss *loss, float *logits, cln_evaluation *out, cln_error *err)
{
    const size_t bytes = (size_t)feed->n * sizeof(int32_t);
    cln_totals totals, keep;
    int bad;
    cln_evaluation e = {.n = feed->n, .predicted = malloc(bytes), .confidence = malloc(bytes)};
    int rc = e.predicted && e.confidence ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while evaluating");
    if (!rc)
        rc = cln_loss_read(loss, &keep, &bad, err);
    if (!rc)
        rc = cln_loss_reset(loss, NULL, err);
    if (!rc)
        rc = run_batches(plan, feed, loss, logits, err);
    if (!rc)
        rc = cln_loss_read(loss, &totals, &bad, err);
    if (!rc)
        rc = cln_tensor_read(plan->dev, loss->predicted, 0, e.predicted, bytes, err);
    if (!rc)
        rc = cln_tensor_read(plan->dev, loss->confidence, 0, e.confidence, bytes, err);
    if (!rc)
        rc = cln_loss_reset(loss, &keep, err);
    if (rc) {
        cln_evaluation_clear(&e);
        return rc;
    }
    e.loss = totals.loss / totals.images;
    e.acc = 100.0 * totals.hits / totals.images;
    *out = e;
    return CLN_OK;
}

int cln_trainer_evaluate(cln_trainer *t, cln_evaluation *out, cln_error *err)
{
    int rc = t->average ? cln_average_swap(t->average, t->plan, err) : CLN_OK;
    if (rc)
        return rc;
    rc = cln_evaluate(t->plan, t->test, t->loss, NULL, out, err);
    if (!t->average)
        return rc;
    const int back = cln_average_swap(t->average, t->plan, rc ? NULL : err);
    if (!rc && back)
        cln_evaluation_clear(out);
    return rc ? rc : back;
}
