/* Ten training steps against the same steps in double precision by PyTorch (fixtures/make_trajectory.py): losses,
 * gradient norms, running statistics, and logits in evaluation, for every norm, both models and both kernel classes.
 * This is where the norms, the convolutions, the loss and the optimiser meet a judge that is not our own. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/step.h"
#include "common/trajectory.h"
#include "optim.h"

static const char *const models[] = {"s8", "s8r"};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
static const cln_plan_options variants[] = {{{CLN_CLASS_VECTOR, -1}, true, false, false},
                                            {{CLN_CLASS_SIMT, CLN_CONV_SIMT}, true, false, false}};
static const double tolerance = 1e-4;
static cln_device *dev;
static cln_error err;
static char run[64]; /* for messages */

#define OK(call) ck_assert_msg((call) == CLN_OK, "%s: %s\n%s", err.where, err.text, err.log)

static void setup(void)
{
    OK(cln_device_open(NULL, false, &dev, &err));
}

static void teardown(void)
{
    cln_program_cache_save(dev);
    cln_device_close(dev);
}

static void near(const char *what, double got, double want, double scale)
{
    ck_assert_msg(fabs(got - want) <= tolerance * fabs(scale),
                  "%s: %s is %.9g and should be %.9g (%.2g off)", run, what, got, want,
                  fabs(got - want) / fabs(scale));
}

static double length_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sqrt(sum);
}

static void check_gradients(const cln_test_step *s, const cln_trajectory *t, int step)
{
    float *grads = cln_test_floats(dev, s->plan->grads, s->plan->n_weights);
    for (int i = 0; i < s->plan->n_slots; i++) {
        const cln_slot *slot = &s->plan->slots[i];
        char name[32], key[64];
        if (slot->state)
            continue;
        cln_trajectory_name(s->plan, slot, name);
        snprintf(key, sizeof key, "grad_norm %d %s", step, name);
        const double want = cln_trajectory_value(t, key, 0);
        near(key, length_of(grads + slot->offset, slot->count), want, want);
    }
    free(grads);
}

static void check_running(const cln_test_step *s, const cln_trajectory *t)
{
    double sum[2] = {0, 0};
    float *states = cln_test_floats(dev, s->plan->states, s->plan->n_states);
    for (int i = 0; i < s->plan->n_slots; i++) {
        const cln_slot *slot = &s->plan->slots[i];
        if (slot->state)
            sum[slot->which] += pow(length_of(states + slot->offset, slot->count), 2);
    }
    free(states);
    const char *keys[] = {"running mean", "running variance"};
    for (int k = 0; k < 2; k++)
        near(keys[k], sqrt(sum[k]), cln_trajectory_value(t, keys[k], 0),
             cln_trajectory_value(t, keys[k], 0));
}

static void check_evaluation(cln_test_step *s, const cln_trajectory *t)
{
    const double want = cln_trajectory_value(t, "eval_loss", 0);
    double loss, top = 0;
    OK(cln_test_step_run(s, CLN_TRAJECTORY_BATCH, false, 0.1, t->input, t->labels, &loss, &err));
    near("eval_loss", loss, want, want);
    float *logits =
        cln_test_floats(dev, s->plan->logits, CLN_TRAJECTORY_BATCH * CLN_TRAJECTORY_CLASSES);
    for (int i = 0; i < CLN_TRAJECTORY_BATCH * CLN_TRAJECTORY_CLASSES; i++)
        top = fmax(top, fabs((double)logits[i]));
    for (int n = 0; n < CLN_TRAJECTORY_BATCH; n++)
        for (int k = 0; k < CLN_TRAJECTORY_CLASSES; k++) {
            char key[24];
            snprintf(key, sizeof key, "eval_logits %d", n);
            near(key, logits[n * CLN_TRAJECTORY_CLASSES + k], cln_trajectory_value(t, key, k), top);
        }
    free(logits);
}

static void follow(const char *model, const char *norm, const cln_plan_options *options)
{
    const cln_shape input = {CLN_TRAJECTORY_BATCH, CLN_TRAJECTORY_SIDE, CLN_TRAJECTORY_SIDE, 3};
    cln_trajectory t;
    cln_test_step s;
    cln_optim *optim;
    cln_trajectory_open(&t, model, norm);
    OK(cln_test_step_new(&s, dev, model, norm, CLN_TRAJECTORY_CLASSES, input, options, &err));
    OK(cln_optim_new(s.plan, CLN_OPTIMIZER_SGD, &optim, &err));
    OK(cln_trajectory_weights(&t, s.plan, &err));
    ck_assert_int_eq((int)cln_net_param_count(s.net),
                     (int)cln_trajectory_value(&t, "parameters", 0));
    for (int step = 1; step <= CLN_TRAJECTORY_STEPS; step++) {
        const cln_optim_rates rates = {
            cln_trajectory_value(&t, "lr", 0), 0.9, 0.1, 0, 0, true, (uint32_t)step};
        char key[24];
        double loss;
        OK(cln_test_step_run(&s, CLN_TRAJECTORY_BATCH, true, 0.1, t.input, t.labels, &loss, &err));
        snprintf(key, sizeof key, "loss %d", step);
        near(key, loss, cln_trajectory_value(&t, key, 0), cln_trajectory_value(&t, key, 0));
        if (step == 1 || step == CLN_TRAJECTORY_STEPS)
            check_gradients(&s, &t, step);
        OK(cln_optim_step(optim, s.plan, &rates, &err));
    }
    if (strcmp(norm, "bn") == 0)
        check_running(&s, &t);
    check_evaluation(&s, &t);
    cln_optim_free(optim);
    cln_test_step_free(&s);
    cln_trajectory_free(&t);
}

START_TEST(follows_pytorch)
{
    const cln_plan_options *options = &variants[_i % 2];
    for (int norm = 0; norm < 5; norm++) {
        snprintf(run, sizeof run, "%s %s %s", models[_i / 2], norms[norm],
                 _i % 2 ? "simt" : "vector");
        follow(models[_i / 2], norms[norm], options);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trajectory");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, follows_pytorch, 0, 4);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
