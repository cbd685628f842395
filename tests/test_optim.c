/* What a step does behind the network: the loss, the optimisers and the learning rate, against double precision. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/step.h"
#include "ops/training.h"
#include "train.h"


/* ---- the optimisers ------------------------------------------------------------------------------ */

static const char net_text[] = "conv 12 k=3\nbn\nrelu\nconv 40 k=3 bias=1\nln\ngap\ndense 7\n";

/* Matrices that are wider than high, columns that no vector divides, weights that are no matrix. */
static const char narrow_text[] = "conv 5 k=1\nbn\ndwconv k=3\nbn\nrelu\nconv 24 k=1\nbn\ngap\ndense 9\nrelu\ndense 7\n";

START_TEST(optimisers)
{
    const cln_tune_request tune = {_i ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR, -1};
    cln_verdict v = {0};
    cln_optim_check(dev, net_text, CLN_OPTIMIZER_SGD, true, &tune, &v);
    cln_optim_check(dev, net_text, CLN_OPTIMIZER_SGD, false, &tune, &v);
    cln_optim_check(dev, net_text, CLN_OPTIMIZER_ADAMW, false, &tune, &v);
    cln_optim_check(dev, net_text, CLN_OPTIMIZER_MUON, true, &tune, &v);
    ck_assert_msg(v.failures == 0, "first: %s", v.first);
    cln_optim_check(dev, narrow_text, CLN_OPTIMIZER_MUON, false, &tune, &v);
    ck_assert_msg(v.failures == 0, "%s", v.first);
}
END_TEST

/* The decayed weights come first, so that one number tells them apart. */
START_TEST(decayed_first)
{
    const cln_plan_options options = {{CLN_CLASS_AUTO, -1}, true, false, false};
    cln_test_step s;
    int decayed = 0;
    OK(cln_test_step_new(&s, dev, net_text, "bn", 7, (cln_shape){2, 8, 8, 3}, &options, &err));
    for (int i = 0; i < s.plan->n_slots; i++) {
        const cln_slot *slot = &s.plan->slots[i];
        if (slot->state)
            continue;
        decayed += slot->offset < s.plan->n_decay;
        ck_assert_msg((slot->offset < s.plan->n_decay) == (slot->param.rank > 1), "%s", slot->name);
        ck_assert_uint_le(slot->offset + slot->count,
                          slot->offset < s.plan->n_decay ? s.plan->n_decay : s.plan->n_weights);
    }
    ck_assert_int_eq(decayed, 3);
    cln_test_step_free(&s);
}
END_TEST

/* ---- the learning rate --------------------------------------------------------------------------- */

START_TEST(schedules)
{
    cln_train_options o = {.lr = 0.4, .warmup = 0.25};
    const struct {
        cln_schedule schedule;
        int step;
        double want;
    } list[] = {{CLN_SCHEDULE_ONECYCLE, 0, 0.04},
                {CLN_SCHEDULE_ONECYCLE, 125, 0.22},
                {CLN_SCHEDULE_ONECYCLE, 250, 0.4},
                {CLN_SCHEDULE_ONECYCLE, 625, 0.4 * (1 - 0.999 / 2)},
                {CLN_SCHEDULE_ONECYCLE, 999, 0.4 * (1 - 0.999 * 749 / 750)},
                {CLN_SCHEDULE_COSINE, 0, 0.4},
                {CLN_SCHEDULE_COSINE, 500, 0.2},
                {CLN_SCHEDULE_COSINE, 250, 0.2 * (1 + sqrt(0.5))},
                {CLN_SCHEDULE_STEP, 0, 0.4},
                {CLN_SCHEDULE_STEP, 499, 0.4},
                {CLN_SCHEDULE_STEP, 500, 0.04},
                {CLN_SCHEDULE_STEP, 749, 0.04},
                {CLN_SCHEDULE_STEP, 750, 0.004},
                {CLN_SCHEDULE_STEP, 999, 0.004},
                {CLN_SCHEDULE_CONSTANT, 0, 0.4},
                {CLN_SCHEDULE_CONSTANT, 999, 0.4}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        o.schedule = list[i].schedule;
        const double got = cln_train_lr(&o, list[i].step, 1000);
        ck_assert_msg(fabs(got - list[i].want) < 1e-12, "schedule %d, step %d: %.15g, not %.15g",
                      (int)list[i].schedule, list[i].step, got, list[i].want);
    }
    for (int warmup = 0; warmup <= 4; warmup++) /* never negative, never above the peak */
        for (int step = 0; step < 7; step++) {
            o.schedule = CLN_SCHEDULE_ONECYCLE;
            o.warmup = warmup / 4.0;
            const double lr = cln_train_lr(&o, step, 7);
            ck_assert_msg(lr > 0 && lr <= 0.4 * (1 + 1e-12), "warmup %g, step %d of 7: %g",
                          o.warmup, step, lr);
        }
    ck_assert(cln_train_lr(&o, 0, 1) > 0);
}
END_TEST

/* ---- the loss ------------------------------------------------------------------------------------ */

enum { KINDS = 7 };

START_TEST(loss_and_gradient)
{
    const float scales[] = {1, 1e-3f, 30, 1e4f};
    cln_verdict v = {0};
    for (int i = 0; i < 4; i++)
        for (int local = 1; local <= 64; local += 63) {
            cln_loss_check(dev, scales[i], 0, local, &v);
            cln_loss_check(dev, scales[i], 0.1, local, &v);
        }
    ck_assert_msg(v.failures == 0, "%s", v.first);
}
END_TEST

/* Totals over many batches are as good as one sum; NaN and infinity are noticed, and the first step is kept. */
START_TEST(running_totals)
{
    enum { STEPS = 3000 };
    const int32_t label = 1;
    const float x[KINDS] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f};
    float wrong[KINDS] = {0};
    double z = 0;
    cln_tensor logits;
    cln_totals totals;
    cln_loss *loss;
    int bad;
    for (int k = 0; k < KINDS; k++)
        z += exp((double)x[k] - (double)x[1]);
    OK(cln_loss_new(dev, 1, KINDS, 1, 1, &loss, &err));
    OK(cln_tensor_new(dev, sizeof x, "x", &logits, &err));
    OK(cln_tensor_write(dev, logits, 0, x, sizeof x, &err));
    OK(cln_tensor_write(dev, loss->labels, 0, &label, sizeof label, &err));
    for (int step = 0; step < STEPS; step++)
        OK(cln_loss_run(loss, logits, (cln_tensor){0}, 1, 1, 0, 0, step, &err));
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_msg(fabs((double)totals.loss / STEPS / log(z) - 1) < 3e-7, "%.9g, not %.9g",
                  (double)totals.loss / STEPS, log(z));
    ck_assert_int_eq((int)totals.images, STEPS);
    ck_assert_int_eq(bad, -1);
    for (int step = 5; step < 8; step++) {
        wrong[step % KINDS] = step == 5 ? NAN : step == 6 ? INFINITY : 0;
        OK(cln_tensor_write(dev, logits, 0, step < 7 ? wrong : x, sizeof x, &err));
        OK(cln_loss_run(loss, logits, (cln_tensor){0}, 1, 1, 0, 0, step, &err));
    }
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_int_eq(bad, 5);
    OK(cln_loss_reset(loss, NULL, &err));
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_int_eq(bad, -1);
    ck_assert(totals.loss == 0 && totals.images == 0);
    cln_tensor_free(&logits);
    cln_loss_free(loss);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optim");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, device_open, device_close);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, optimisers, 0, 2);
    tcase_add_test(tcase, decayed_first);
    tcase_add_test(tcase, schedules);
    tcase_add_test(tcase, loss_and_gradient);
    tcase_add_test(tcase, running_totals);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
