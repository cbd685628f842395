/* What Winograd's transforms lose on trained weights, whose sizes differ from those of random ones: logits and the gradient
 * of the default network by them, held against the direct convolution's. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/step.h"
#include "dataset.h"
#include "train.h"

static cln_dataset *sample;

static void setup(void)
{
    device_open();
    OK(cln_dataset_open("sample", &sample, &err));
}

static void teardown(void)
{
    cln_dataset_free(sample);
    device_close();
}

/* SGD's first step with rate 1 and nothing else is the gradient. */
static cln_train_options options_of(const char *norm, int conv)
{
    cln_train_options o;
    cln_train_defaults(norm, &o);
    o.limit = 1024;
    o.epochs = 4;
    if (conv >= 0) {
        o.conv = conv;
        o.optimizer = CLN_OPTIMIZER_SGD;
        o.schedule = CLN_SCHEDULE_CONSTANT;
        o.lr = o.norm_lr = 1;
        o.momentum = o.weight_decay = 0;
        o.nesterov = false;
    }
    return o;
}

typedef struct result {
    float *logits, *gradient;
    size_t n_logits, n_weights;
    double acc;
} result;

static result run(const char *norm, cln_conv_algo conv, const cln_state *trained)
{
    const cln_train_options o = options_of(norm, (int)conv);
    cln_state before = *trained, after = {0};
    cln_evaluation e;
    cln_trainer *t;
    result r = {0};
    OK(cln_trainer_new(dev, sample, &o, &t, &err));
    int by = 0;
    for (int i = 0; i < t->net->n_layers; i++)
        by += t->net->layers[i].op->stat_rows && t->plan->nodes[i].tune.fwd == conv && t->plan->nodes[i].tune.bwd_data == conv &&
              t->plan->nodes[i].tune.bwd_params == conv;
    ck_assert_int_ge(by, conv == CLN_CONV_WINOGRAD ? 7 : 8); /* 3x3 of 16 channels and more */
    before.v = before.average = before.average_states = NULL;
    OK(cln_state_set(t, &before, &err));
    r.n_logits = (size_t)t->test->n * (size_t)sample->classes;
    r.n_weights = trained->n_weights;
    r.logits = malloc(r.n_logits * sizeof *r.logits);
    r.gradient = malloc(r.n_weights * sizeof *r.gradient);
    ck_assert(r.logits && r.gradient);
    OK(cln_evaluate(t->plan, t->test, t->loss, r.logits, &e, &err));
    r.acc = e.acc;
    cln_evaluation_clear(&e);
    OK(cln_train_enqueue(t, 0, 0, &err));
    OK(cln_state_get(t, &after, &err));
    for (size_t i = 0; i < r.n_weights; i++)
        r.gradient[i] = trained->weights[i] - after.weights[i];
    cln_state_clear(&after);
    cln_trainer_free(t);
    return r;
}

/* |a - b| / |b|, over all values */
static double relative(const float *a, const float *b, size_t n)
{
    double apart = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        apart += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)b[i] * b[i];
    }
    return sqrt(apart / all);
}

START_TEST(error_on_trained_weights)
{
    static const char *const norms[] = {"bn", "ln", "gn"};
    const cln_train_options o = options_of(norms[_i], -1);
    cln_state trained = {0};
    cln_metrics m;
    cln_trainer *t;
    OK(cln_trainer_new(dev, sample, &o, &t, &err));
    for (int epoch = 0; epoch < o.epochs; epoch++)
        OK(cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err));
    OK(cln_state_get(t, &trained, &err));
    cln_trainer_free(t);

    result direct = run(norms[_i], CLN_CONV_VECTOR, &trained), winograd = run(norms[_i], CLN_CONV_WINOGRAD, &trained);
    const double logits = cln_test_apart(winograd.logits, direct.logits, direct.n_logits),
                 gradient = relative(winograd.gradient, direct.gradient, direct.n_weights);
    printf("%s, %.1f %% right: logits differ by %.1e of the largest, the gradient by %.1e of its length\n", norms[_i],
           direct.acc, logits, gradient);
    ck_assert_double_gt(direct.acc, 15); /* of ten classes: it has learnt */
    ck_assert_double_le(logits, 1e-5);
    ck_assert_double_gt(logits, 0); /* they were really computed in two ways */
    ck_assert_double_le(gradient, 2e-3); /* a value beside a kink falls on its other side now and then */
    for (int i = 0; i < 2; i++) {
        free((i ? winograd : direct).logits);
        free((i ? winograd : direct).gradient);
    }
    cln_state_clear(&trained);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("winograd");
    TCase *c = tcase_create("device");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, error_on_trained_weights, 0, 3);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
