/* The trainer: the same run bit for bit however it is interrupted and on however many threads, divergence, and the
 * sizes of data and batches. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/scratch.h"
#include "common/step.h"
#include "common/stripes.h"

static const char *program;
static cln_dataset data;

static void setup(void)
{
    data = stripes_new();
    scratch_new();
    device_open();
}

static void teardown(void)
{
    device_close();
    scratch_remove();
    stripes_clear(&data);
}

static void check_metrics(const cln_metrics *a, const cln_metrics *b)
{
    ck_assert_int_eq(a->epoch, b->epoch);
    ck_assert_msg(a->lr == b->lr && a->train_loss == b->train_loss &&
                      a->train_acc == b->train_acc && a->test_loss == b->test_loss &&
                      a->test_acc == b->test_acc,
                  "epoch %d: train %.9g and %.9g, test %.9g and %.9g", a->epoch, a->train_loss,
                  b->train_loss, a->test_loss, b->test_loss);
}

/* ---- the same run -------------------------------------------------------------------------------- */

static sha straight(const cln_train_options *o, cln_metrics m[2])
{
    cln_trainer *t = stripes_trainer(dev, &data, o);
    for (int epoch = 0; epoch < o->epochs; epoch++)
        OK(cln_trainer_epoch(t, NULL, NULL, &m[epoch], NULL, &err));
    const sha s = sha_of(t);
    ck_assert_int_eq(cln_trainer_epochs_done(t), o->epochs);
    ck_assert_int_eq(cln_trainer_epoch(t, NULL, NULL, &m[0], NULL, &err), CLN_ERR_ARGUMENT);
    cln_trainer_free(t);
    return s;
}

/* The same with a stop after each `every` steps: each time saved, freed, and loaded by a new trainer. */
static sha in_pieces(const cln_train_options *o, int every, cln_metrics m[2])
{
    cln_trainer *t = stripes_trainer(dev, &data, o);
    int pieces = 0;
    while (cln_trainer_epochs_done(t) < o->epochs) {
        bool stopped;
        int left = every;
        cln_evaluation e;
        OK(cln_trainer_epoch(t, stop_after, &left, &m[cln_trainer_epochs_done(t)], &stopped, &err));
        OK(cln_trainer_evaluate(t, &e, &err)); /* must leave no trace */
        cln_evaluation_clear(&e);
        OK(cln_trainer_save(t, at("piece.safetensors"), &err));
        const sha before = sha_of(t);
        cln_trainer_free(t);
        t = stripes_trainer(dev, &data, o);
        OK(cln_trainer_load(t, at("piece.safetensors"), &err));
        ck_assert_str_eq(before.hex, sha_of(t).hex);
        pieces++;
    }
    ck_assert_int_ge(pieces, 2 * ((STRIPES_STEPS + every - 1) / every));
    const sha s = sha_of(t);
    cln_trainer_free(t);
    return s;
}

static void resume(const cln_train_options *o)
{
    cln_metrics whole[2], parts[2];
    const sha want = straight(o, whole);
    for (int every = 2; every <= STRIPES_STEPS;
         every += 3) { /* in the middle, and at each epoch's last step */
        const sha got = in_pieces(o, every, parts);
        ck_assert_str_eq(want.hex, got.hex);
        check_metrics(&whole[0], &parts[0]);
        check_metrics(&whole[1], &parts[1]);
    }
}

START_TEST(resumed_is_uninterrupted)
{
    const char *norms[] = {"bn", "gn", "none", "ln"};
    cln_train_options o = stripes_options(norms[_i]);
    if (_i == 3)
        cln_train_use(CLN_OPTIMIZER_MUON, &o);
    o.micro_batch = _i == 1 ? 12 : 0;
    resume(&o);
}
END_TEST

/* Dropout and residuals too; and a run with SIMT kernels. */
START_TEST(resumed_with_dropout)
{
    const char *net = "conv 8 k=3\n$norm\np: relu\ndropout 0.3\nconv 8 k=3\n$norm\nrelu\nadd "
                      "p\nmaxpool 2\ndense $classes\n";
    cln_train_options o = stripes_options("ln");
    put("drop.net", net, strlen(net));
    snprintf(o.model, sizeof o.model, "%s", at("drop.net"));
    o.kernel_class = _i ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR;
    resume(&o);
}
END_TEST

START_TEST(seeds)
{
    cln_train_options o = stripes_options("bn");
    cln_metrics m[2];
    const sha a = straight(&o, m), b = straight(&o, m);
    o.seed++;
    const sha c = straight(&o, m);
    ck_assert_str_eq(a.hex, b.hex);
    ck_assert_str_ne(a.hex, c.hex);
}
END_TEST

/* What `test_train --sha` prints: a run in a process of its own, so that PoCL starts with its environment. */
static int print_sha(void)
{
    cln_train_options o = stripes_options("gn");
    cln_metrics m;
    cln_trainer *t = NULL;
    char hex[65];
    data = stripes_new();
    int rc = cln_device_open(NULL, false, &dev, &err);
    if (!rc)
        rc = cln_trainer_new(dev, &data, &o, &t, &err);
    if (!rc)
        rc = cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err);
    if (!rc)
        rc = cln_trainer_weights_sha256(t, hex, &err);
    puts(rc ? err.text : hex);
    cln_trainer_free(t);
    cln_device_close(dev);
    stripes_clear(&data);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Of five, some would be idle where Winograd's gradients come from one pass: they come from two, with the same bits. */
START_TEST(threads_do_not_matter)
{
    const int threads[] = {1, 2, 5};
    char line[3][1024], command[4096];
    for (int i = 0; i < 3; i++) {
        snprintf(command, sizeof command, "POCL_MAX_PTHREAD_COUNT=%d '%s' --sha", threads[i],
                 program);
        FILE *pipe = popen(command, "r");
        ck_assert_ptr_nonnull(pipe);
        ck_assert_ptr_nonnull(fgets(line[i], sizeof line[i], pipe));
        ck_assert_msg(pclose(pipe) == 0, "%s", line[i]);
        ck_assert_int_eq((int)strspn(line[i], "0123456789abcdef"), 64);
        ck_assert_str_eq(line[0], line[i]);
    }
}
END_TEST

START_TEST(it_learns)
{
    const char *norms[] = {"bn", "ln", "gn", "in", "none"};
    cln_train_options o = stripes_options(norms[_i]);
    cln_metrics m;
    o.epochs = 10;
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    double first = 0;
    for (int epoch = 0; epoch < o.epochs; epoch++) {
        OK(cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err));
        first = epoch ? first : m.train_loss;
    }
    ck_assert_msg(m.train_loss < 0.9 * first && m.test_acc > 60,
                  "%s: train loss %g to %g, test accuracy %g", norms[_i], first, m.train_loss,
                  m.test_acc);
    cln_trainer_free(t);
}
END_TEST

START_TEST(the_sample)
{
    cln_dataset *sample = NULL;
    cln_train_options o = stripes_options("bn");
    cln_metrics m[3];
    cln_trainer *t;
    OK(cln_dataset_open("sample", &sample, &err));
    o.epochs = 3;
    o.limit = 256;
    o.val_split = 100;
    OK(cln_trainer_new(dev, sample, &o, &t, &err));
    for (int epoch = 0; epoch < 3; epoch++)
        OK(cln_trainer_epoch(t, NULL, NULL, &m[epoch], NULL, &err));
    ck_assert_msg(m[2].train_loss < m[0].train_loss, "train loss %g to %g", m[0].train_loss,
                  m[2].train_loss);
    cln_trainer_free(t);
    cln_dataset_free(sample);
}
END_TEST

/* ---- divergence ---------------------------------------------------------------------------------- */

static cln_train_options wild(const char *norm)
{
    cln_train_options o = stripes_options(norm);
    o.optimizer = CLN_OPTIMIZER_SGD;
    o.schedule = CLN_SCHEDULE_CONSTANT;
    o.lr = 1000;
    o.weight_decay = 10; /* so that the weights run away under any norm */
    o.epochs = 200;
    return o;
}

/* Runs until it diverges; *good: the state that every epoch began with. */
static int until_diverged(cln_trainer *t, sha *good)
{
    int rc = CLN_OK;
    while (!rc && cln_trainer_epochs_done(t) < 200) {
        cln_metrics m;
        *good = sha_of(t);
        rc = cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err);
    }
    return rc;
}

START_TEST(divergence)
{
    const char *norms[] = {"none", "bn", "ln"};
    cln_train_options o = wild(norms[_i]);
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    sha good;
    int epoch = 0, step = 0;
    ck_assert_int_eq(until_diverged(t, &good), CLN_ERR_DIVERGED);
    const char *from = strstr(err.text, "epoch ");
    ck_assert_msg(from && sscanf(from, "epoch %d, step %d", &epoch, &step) == 2 &&
                      strstr(err.text, " of layer ") && strstr(err.text, "--lr"),
                  "%s", err.text);
    ck_assert_msg(epoch == cln_trainer_epochs_done(t) + 1 && step >= 1 && step <= STRIPES_STEPS,
                  "%s", err.text);
    ck_assert_str_eq(good.hex, sha_of(t).hex);
    OK(cln_trainer_save(t, at("good"), &err)); /* and the trainer still works */
    cln_trainer *again = stripes_trainer(dev, &data, &o);
    OK(cln_trainer_load(again, at("good"), &err));
    char text[1024];
    snprintf(text, sizeof text, "%s", err.text);
    ck_assert_str_eq(good.hex, sha_of(again).hex);
    ck_assert_int_eq(until_diverged(again, &good), CLN_ERR_DIVERGED);
    cln_trainer_free(again);
    cln_trainer_free(t);
}
END_TEST

/* A step whose loss is finite but whose update is not: what it left must not be what the caller saves, neither
 * behind a stop in mid-epoch nor behind an epoch's last step. */
START_TEST(bad_weights_are_not_kept)
{
    cln_train_options o = wild("bn");
    o.batch = _i ? STRIPES_BATCH : 256;
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    cln_state s = {0};
    cln_metrics m;
    int left = 1;
    OK(cln_state_get(t, &s, &err));
    s.m[5] = 3e38f;
    OK(cln_state_set(t, &s, &err));
    const sha good = sha_of(t);
    const int rc = cln_trainer_epoch(t, stop_after, &left, &m, NULL, &err);
    ck_assert_int_eq(rc, CLN_ERR_DIVERGED);
    const char *where = _i ? "epoch 1, step 2: first in the weights of layer 0"
                           : "epoch 1, step 1: first in the weights of layer 0";
    ck_assert_msg(strstr(err.text, where), "%s", err.text); /* an epoch of one step has no second */
    ck_assert_str_eq(good.hex, sha_of(t).hex);
    ck_assert_int_eq(t->step, 0);
    cln_state_clear(&s);
    cln_trainer_free(t);
}
END_TEST

/* ---- sizes --------------------------------------------------------------------------------------- */

START_TEST(sizes)
{
    static const struct {
        int val_split, limit, batch, train, test, steps;
    } list[] = {{0, 0, 32, 150, 40, 5},    {0, 64, 32, 64, 40, 2}, {30, 0, 32, 120, 30, 4},
                {30, 200, 32, 120, 30, 4}, {140, 5, 4, 5, 140, 2}, {0, 0, 500, 150, 40, 1},
                {0, 0, 150, 150, 40, 1},   {149, 0, 3, 1, 149, 1}, {0, 0, 149, 150, 40, 2}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        cln_train_options o = stripes_options("ln");
        cln_metrics m;
        cln_evaluation e;
        o.val_split = list[i].val_split;
        o.limit = list[i].limit;
        o.batch = list[i].batch;
        cln_trainer *t = stripes_trainer(dev, &data, &o);
        ck_assert_int_eq(t->train->n, list[i].train);
        ck_assert_int_eq(t->test->n, list[i].test);
        ck_assert_int_eq(t->steps, list[i].steps);
        OK(cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err));
        ck_assert(isfinite(m.train_loss) && isfinite(m.test_loss));
        OK(cln_trainer_evaluate(t, &e, &err));
        ck_assert_int_eq(e.n, list[i].test);
        const int held = list[i].val_split;
        const uint8_t *truth = held ? data.train_y + STRIPES_TRAIN - held : data.test_y;
        int right = 0;
        for (int n = 0; n < e.n; n++) {
            ck_assert(e.predicted[n] >= 0 && e.predicted[n] < STRIPES_CLASSES);
            ck_assert(e.confidence[n] > 1.0f / STRIPES_CLASSES - 1e-6f && e.confidence[n] <= 1.0f);
            right += e.predicted[n] == truth[n];
        }
        ck_assert_double_eq_tol(e.acc, 100.0 * right / e.n, 1e-9);
        cln_evaluation_clear(&e);
        cln_trainer_free(t);
    }
}
END_TEST

/* An evaluation gives the same figures in batches of any size: its last batch is a part of one. */
START_TEST(evaluation_in_any_batch)
{
    cln_evaluation e[2];
    for (int i = 0; i < 2; i++) {
        cln_train_options o = stripes_options("bn");
        o.batch = i ? 7 : STRIPES_TEST;
        cln_trainer *t = stripes_trainer(dev, &data, &o);
        OK(cln_trainer_evaluate(t, &e[i], &err));
        cln_trainer_free(t);
    }
    ck_assert(!memcmp(e[0].predicted, e[1].predicted, STRIPES_TEST * sizeof *e[0].predicted));
    ck_assert(!memcmp(e[0].confidence, e[1].confidence, STRIPES_TEST * sizeof *e[0].confidence));
    ck_assert_double_eq_tol(e[0].loss, e[1].loss, 1e-6);
    cln_evaluation_clear(&e[0]);
    cln_evaluation_clear(&e[1]);
}
END_TEST

START_TEST(wrong_options)
{
    static const struct {
        const char *name;
        int batch, epochs, val_split, shift;
        double lr, warmup, momentum;
    } list[] = {{"batch", 0, 1, 0, 0, 0.1, 0, 0},       {"epochs", 8, 0, 0, 0, 0.1, 0, 0},
                {"val", 8, 1, 150, 0, 0.1, 0, 0}, {"val", 8, 1, -1, 0, 0.1, 0, 0},
                {"shift", 8, 1, 0, 16, 0.1, 0, 0},      {"lr", 8, 1, 0, 0, -1, 0, 0},
                {"lr", 8, 1, 0, 0, NAN, 0, 0},          {"warmup", 8, 1, 0, 0, 0.1, 1.5, 0},
                {"momentum", 8, 1, 0, 0, 0.1, 0, 1}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        cln_train_options o = stripes_options("bn");
        cln_trainer *t = (cln_trainer *)&o; /* NULL comes out, whatever went in */
        o.batch = list[i].batch;
        o.epochs = list[i].epochs;
        o.val_split = list[i].val_split;
        o.shift = list[i].shift;
        o.lr = list[i].lr;
        o.warmup = list[i].warmup;
        o.momentum = list[i].momentum;
        ck_assert_int_eq(cln_trainer_new(dev, &data, &o, &t, &err), CLN_ERR_ARGUMENT);
        ck_assert_msg(strstr(err.text, list[i].name) == err.text, "%s: %s", list[i].name, err.text);
        ck_assert_ptr_null(t);
    }
    cln_trainer_free(NULL);
}
END_TEST

START_TEST(no_such_choice)
{
    static const char *const names[] = {"optimizer", "schedule", "act", "init", "flip", "class", "conv"};
    for (int i = 0; i < 7; i++) {
        cln_train_options o = stripes_options("bn");
        cln_trainer *t;
        o.optimizer = i == 0 ? (cln_optimizer)9 : o.optimizer;
        o.schedule = i == 1 ? (cln_schedule)9 : o.schedule;
        o.act = i == 2 ? (cln_act)9 : o.act;
        o.init = i == 3 ? (cln_initial)9 : o.init;
        o.flip = i == 4 ? (cln_flip)9 : o.flip;
        o.kernel_class = i == 5 ? 9 : o.kernel_class;
        o.conv = i == 6 ? 9 : o.conv;
        ck_assert_int_eq(cln_trainer_new(dev, &data, &o, &t, &err), CLN_ERR_ARGUMENT);
        ck_assert_msg(strstr(err.text, names[i]) == err.text, "%s: %s", names[i], err.text);
    }
}
END_TEST

START_TEST(more_steps_than_can_be_counted)
{
    cln_train_options o = stripes_options("bn");
    cln_dataset many = data;
    many.n_train = 50000;
    o.batch = 1;
    o.epochs = 42949; /* 2^31 - 1 is 42949 times 50000 and 33,647 more */
    ck_assert_int_eq(cln_train_check(&o, &many, &err), CLN_OK);
    o.epochs++;
    ck_assert_int_eq(cln_train_check(&o, &many, &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "2147500000 steps"));
}
END_TEST

/* Batch norm cannot train on a batch of one value per channel: that the last batch of an epoch is one image of one pixel is
 * said before the first. */
START_TEST(one_value_per_channel)
{
    const char *net = "gap\nconv 8 k=1\n$norm\nrelu\nconv $classes k=1 bias=1\n";
    cln_train_options o = stripes_options("bn");
    cln_trainer *t = NULL;
    put("flat.net", net, strlen(net));
    snprintf(o.model, sizeof o.model, "%s", at("flat.net"));
    o.limit = STRIPES_BATCH + 1;
    ck_assert_int_eq(cln_trainer_new(dev, &data, &o, &t, &err), CLN_ERR_MODEL);
    ck_assert_msg(strstr(err.text, "batch norm (layer 2)"), "%s", err.text);
    ck_assert_ptr_null(t);
    o.limit = STRIPES_BATCH + 2;
    t = stripes_trainer(dev, &data, &o);
    cln_trainer_free(t);
}
END_TEST

/* A batch that goes through the network in parts gives the same step but for rounding; batch norm cannot do that. */
START_TEST(parts_of_a_batch)
{
    static const int micro[] = {STRIPES_BATCH, 8, 11};
    cln_state s[3] = {{0}};
    cln_train_options o = stripes_options("ln");
    cln_trainer *t = NULL;
    cln_metrics m;
    o.optimizer = CLN_OPTIMIZER_SGD;
    o.lr = 0.05;
    for (int i = 0; i < 3; i++) {
        o.micro_batch = micro[i];
        t = stripes_trainer(dev, &data, &o);
        ck_assert_int_eq(t->micro, micro[i]);
        OK(cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err));
        OK(cln_state_get(t, &s[i], &err));
        cln_trainer_free(t);
        const double worst = cln_test_apart(s[0].weights, s[i].weights, s[i].n_weights);
        ck_assert_msg(worst <= 2e-5, "parts of %d: off by %g of the largest", micro[i], worst);
        ck_assert(i == 0 || worst > 0.0); /* another order of additions: it was really done */
        ck_assert_int_eq((int)s[i].totals.images, STRIPES_TRAIN);
    }
    for (int i = 0; i < 3; i++)
        cln_state_clear(&s[i]);
    o = stripes_options("bn");
    o.micro_batch = 8;
    ck_assert_int_eq(cln_trainer_new(dev, &data, &o, &t, &err), CLN_ERR_ARGUMENT);
    ck_assert_msg(strstr(err.text, "micro-batch is 8: layer") == err.text, "%s", err.text);
}
END_TEST

/* The kernels that `work` launches, on a device of its own. */
static cln_profile_row *kernels_of(const char *norm, int (*work)(cln_trainer *t, cln_error *err), size_t *count)
{
    cln_device *timed = NULL;
    cln_profile_row *rows = NULL;
    const cln_train_options o = stripes_options(norm);
    OK(cln_device_open(NULL, true, &timed, &err));
    cln_trainer *t = stripes_trainer(timed, &data, &o);
    OK(cln_profile_start(timed, &err));
    OK(work(t, &err));
    OK(cln_profile_collect(timed, &rows, count, &err));
    cln_trainer_free(t);
    cln_device_close(timed);
    return rows;
}

static int one_step(cln_trainer *t, cln_error *err) { return cln_train_enqueue(t, 0, 0, err); }

static bool has(const cln_profile_row *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0)
            return true;
    return false;
}

/* What a step launches, but for loss and optimiser, and nothing else. */
START_TEST(touched)
{
    static const char *const norms[] = {"bn", "ln", "none"};
    size_t n_step = 0, n_touch = 0;
    cln_profile_row *step = kernels_of(norms[_i], one_step, &n_step);
    cln_profile_row *touch = kernels_of(norms[_i], cln_trainer_touch, &n_touch);
    ck_assert_uint_gt(n_touch, 10);
    for (size_t i = 0; i < n_step; i++) {
        const char *name = step[i].name;
        const bool other = strncmp(name, "loss_", 5) == 0 || strncmp(name, "muon_", 5) == 0 || strncmp(name, "optim_", 6) == 0;
        ck_assert_msg(other != has(touch, n_touch, name), "%s", name);
    }
    for (size_t i = 0; i < n_touch; i++)
        ck_assert_msg(has(step, n_step, touch[i].name), "%s", touch[i].name);
    free(step);
    free(touch);
}
END_TEST

static void add_tests(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 300); /* a cold cache means compiling */
    tcase_add_loop_test(c, resumed_is_uninterrupted, 0, 4);
    tcase_add_loop_test(c, resumed_with_dropout, 0, 2);
    tcase_add_test(c, seeds);
    tcase_add_test(c, threads_do_not_matter);
    tcase_add_loop_test(c, it_learns, 0, 5);
    tcase_add_test(c, the_sample);
    tcase_add_loop_test(c, divergence, 0, 3);
    tcase_add_loop_test(c, bad_weights_are_not_kept, 0, 2);
    tcase_add_test(c, sizes);
    tcase_add_test(c, evaluation_in_any_batch);
    tcase_add_test(c, wrong_options);
    tcase_add_test(c, no_such_choice);
    tcase_add_test(c, more_steps_than_can_be_counted);
    tcase_add_test(c, parts_of_a_batch);
    tcase_add_test(c, one_value_per_channel);
    tcase_add_loop_test(c, touched, 0, 3);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "--sha") == 0)
        return print_sha();
    Suite *suite = suite_create("train");
    TCase *tcase = tcase_create("device");
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
