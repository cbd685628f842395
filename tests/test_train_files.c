/* What a trainer writes and reads: checkpoints and exports come back whole or are refused whole. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/scratch.h"
#include "common/stripes.h"

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

static void check_evaluations(const cln_evaluation *a, const cln_evaluation *b)
{
    ck_assert_int_eq(a->n, b->n);
    ck_assert(a->loss == b->loss && a->acc == b->acc);
    ck_assert(!memcmp(a->predicted, b->predicted, (size_t)a->n * sizeof *a->predicted));
    ck_assert(!memcmp(a->confidence, b->confidence, (size_t)a->n * sizeof *a->confidence));
}

START_TEST(exported_and_imported)
{
    const char *norms[] = {"bn", "gn"};
    cln_train_options o = stripes_options(norms[_i]);
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    cln_metrics m;
    cln_evaluation a, b, c;
    OK(cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err));
    OK(cln_trainer_evaluate(t, &a, &err));
    OK(cln_trainer_export(t, at("model"), &err));
    o.seed = 77;
    o.fuse = false; /* weights fit any way of running them */
    cln_trainer *other = stripes_trainer(dev, &data, &o);
    OK(cln_trainer_import(other, at("model"), &err));
    ck_assert_str_eq(sha_of(t).hex, sha_of(other).hex);
    cln_trainer_free(other);
    o.fuse = true;
    other = stripes_trainer(dev, &data, &o);
    OK(cln_trainer_evaluate(other, &b, &err));
    OK(cln_trainer_import(other, at("model"), &err));
    OK(cln_trainer_evaluate(other, &c, &err));
    ck_assert(a.loss != b.loss);
    check_evaluations(&a, &c);
    ck_assert(a.loss == m.test_loss && a.acc == m.test_acc);
    cln_evaluation_clear(&a);
    cln_evaluation_clear(&b);
    cln_evaluation_clear(&c);
    cln_trainer_free(other);
    cln_trainer_free(t);
}
END_TEST

/* `load` (or import) must fail with CLN_ERR_CHECKPOINT and change nothing. */
static void refused(cln_trainer *t, int (*load)(cln_trainer *, const char *, cln_error *),
                    const char *path, const char *what)
{
    const sha before = sha_of(t);
    const int epoch = t->epoch, step = t->step, rc = load(t, path, &err);
    ck_assert_msg(rc == CLN_ERR_CHECKPOINT, "%s: code %d: %s", what, rc,
                  rc ? err.text : "accepted");
    ck_assert_msg(!strcmp(before.hex, sha_of(t).hex) && t->epoch == epoch && t->step == step,
                  "%s: changed the trainer", what);
}

START_TEST(foreign_checkpoints)
{
    enum { WAYS = 9 };
    const char *names[WAYS] = {"model",  "norm",   "seed",  "batch", "lr",
                               "epochs", "fusion", "class", "data"};
    cln_train_options first = stripes_options("bn");
    strcpy(first.model, "s8");
    cln_trainer *t = stripes_trainer(dev, &data, &first);
    cln_metrics m;
    int left = 3;
    OK(cln_trainer_epoch(t, stop_after, &left, &m, NULL, &err));
    OK(cln_trainer_save(t, at("run"), &err));
    OK(cln_trainer_export(t, at("weights"), &err));
    for (int way = 0; way < WAYS; way++) {
        cln_train_options o = stripes_options(way == 1 ? "ln" : "bn");
        snprintf(o.model, sizeof o.model, "%s", way == 0 ? "s8r" : "s8");
        o.seed += way == 2;
        o.batch -= way == 3;
        o.lr *= way == 4 ? 0.5 : 1;
        o.epochs += way == 5;
        o.fuse = way != 6;
        o.kernel_class = way == 7 ? t->plan->nodes[0].tune.cls == CLN_CLASS_SIMT ? CLN_CLASS_VECTOR
                                                                                 : CLN_CLASS_SIMT
                                  : 0;
        strcpy(data.digest, way == 8 ? "3210" : "0123");
        cln_trainer *other = stripes_trainer(dev, &data, &o);
        refused(other, cln_trainer_load, at("run"), names[way]);
        if (way < 2) /* the other weights' shapes fit under way 1 */
            refused(other, cln_trainer_import, at("weights"), names[way]);
        cln_trainer_free(other);
    }
    refused(t, cln_trainer_load, at("weights"), "an export as a checkpoint");
    refused(t, cln_trainer_import, at("run"), "a checkpoint as an export");
    cln_trainer_free(t);
}
END_TEST

/* Weights of gn fit ln, and any number of groups. The default number counts as what it is. */
START_TEST(foreign_norms)
{
    cln_train_options o = stripes_options("gn");
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    OK(cln_trainer_export(t, at("gn4"), &err));
    cln_trainer_free(t);
    const struct {
        const char *norm;
        int groups;
    } list[] = {{"ln", 0}, {"in", 0}, {"gn", 2}, {"gn", 4}};
    for (int i = 0; i < 4; i++) {
        snprintf(o.norm, sizeof o.norm, "%s", list[i].norm);
        o.groups = list[i].groups;
        o.seed++;
        t = stripes_trainer(dev, &data, &o);
        if (i < 3)
            refused(t, cln_trainer_import, at("gn4"), list[i].norm);
        else
            OK(cln_trainer_import(t, at("gn4"), &err));
        cln_trainer_free(t);
    }
}
END_TEST

START_TEST(damaged_checkpoints)
{
    cln_train_options o = stripes_options("gn");
    cln_trainer *t = stripes_trainer(dev, &data, &o), *other = stripes_trainer(dev, &data, &o);
    cln_metrics m;
    int left = 2;
    OK(cln_trainer_epoch(t, stop_after, &left, &m, NULL, &err));
    OK(cln_trainer_save(t, at("run"), &err));
    blob whole = get("run");
    for (int i = 0; i < 40; i++) {
        put("cut", whole.bytes, whole.size * (size_t)i / 40);
        refused(other, cln_trainer_load, at("cut"), "a truncated checkpoint");
    }
    put("cut", whole.bytes, whole.size - 1);
    refused(other, cln_trainer_load, at("cut"), "a truncated checkpoint");
    char *step = NULL; /* "step":"2" in the header becomes more steps than an epoch has */
    for (size_t i = 0; i + 10 < 65536 && i + 10 < whole.size && !step; i++)
        if (memcmp(whole.bytes + i, "\"step\":\"2\"", 10) == 0)
            step = whole.bytes + i + 8;
    ck_assert_ptr_nonnull(step);
    *step = '9';
    put("steps", whole.bytes, whole.size);
    refused(other, cln_trainer_load, at("steps"), "a checkpoint with too many steps");
    ck_assert_int_eq(cln_trainer_load(other, at("missing"), &err), CLN_ERR_IO);
    *step = '2';
    put("again", whole.bytes, whole.size);
    OK(cln_trainer_load(other, at("again"), &err));
    ck_assert_str_eq(sha_of(t).hex, sha_of(other).hex);
    ck_assert_int_eq(other->step, 2);
    free(whole.bytes);
    cln_trainer_free(other);
    cln_trainer_free(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_files");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, exported_and_imported, 0, 2);
    tcase_add_test(tcase, foreign_checkpoints);
    tcase_add_test(tcase, foreign_norms);
    tcase_add_test(tcase, damaged_checkpoints);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
