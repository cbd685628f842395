/* The plan of a study, that its runs are paired, and that it tells settings apart; what a network made of the test set and
 * results, written and read back, also from damaged files. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scratch.h"
#include "common/stripes.h"
#include "outcome.h"
#include "plan.h"
#include "study.h"
#include "train.h"

static cln_dataset data;
static cln_error err;

#define OK(call) ck_assert_msg((call) == CLN_OK, "%s: %s\n%s", err.where, err.text, err.log)

static char *names[STRIPES_CLASSES] = {"left", "middle", "right <&>", "nowhere"};

static void setup(void)
{
    memset(&err, 0, sizeof err);
    data = stripes_new();
    data.class_names = names;
    scratch_new();
}

static void teardown(void)
{
    scratch_remove();
    stripes_clear(&data);
}

/* ---- the plan ------------------------------------------------------------------------------------ */

static void plan_is(const cln_study_axes *axes, const char *const *names, int n)
{
    cln_study *s;
    OK(cln_study_new(axes, at(""), &data, &s, &err));
    ck_assert_int_eq(s->n_runs, n);
    for (int i = 0; i < n; i++)
        ck_assert_str_eq(s->runs[i].name, names[i]);
    cln_study_free(s);
}

START_TEST(default_plan)
{
    cln_study_axes axes;
    char text[15][32];
    const char *names[15];
    static const char *const norms[] = {"bn", "ln", "gn4"};
    cln_study_defaults(&axes);
    for (int i = 0; i < 15; i++) {
        snprintf(text[i], sizeof text[i], "s8n-%s-b128-s%d", norms[i % 3], i / 3 + 1);
        names[i] = text[i];
    }
    plan_is(&axes, names, 15);
}
END_TEST

START_TEST(sweeps_go_out_from_the_base)
{
    static const char *const names[] = {"s8n-bn-b128-s1", "s8n-gn4-b128-s1", "s8r-bn-b128-s1", "s8r-gn4-b128-s1",
                                        "s8n-bn-b32-s1",  "s8n-gn4-b32-s1",  "s8n-gn1-b128-s1", "s8n-gn16-b128-s1"};
    static const char *const other[] = {"s8n-bn-b8-s1", "s8n-bn-b2-s1"};
    cln_study_axes axes;
    cln_study_defaults(&axes);
    axes.seeds = 1;
    axes.n_norms = axes.n_batches = axes.n_models = 2;
    strcpy(axes.norms[1], "gn");
    strcpy(axes.models[1], "s8r");
    axes.batches[0] = 32;
    axes.batches[1] = 128;
    axes.n_groups = 3;
    memcpy(axes.groups, (int[]){1, 4, 16}, 3 * sizeof(int));
    plan_is(&axes, names, 8);
    axes.n_norms = axes.n_models = 1; /* no groups to sweep; no 128: the first batch is the base */
    memcpy(axes.batches, (int[]){8, 2}, 2 * sizeof(int));
    plan_is(&axes, other, 2);
}
END_TEST

START_TEST(rate_goes_with_the_batch)
{
    const cln_given given[] = {
        {cln_field_find("epochs"), "3"}, {cln_field_find("shift"), "1"}, {cln_field_find("optimizer"), NULL}};
    cln_given list[3];
    cln_study_axes axes;
    cln_study *s;
    cln_train_options bn;
    const cln_optimizer optimizer = (cln_optimizer)_i;
    cln_train_defaults("bn", &bn);
    cln_train_use(optimizer, &bn);
    cln_study_defaults(&axes);
    axes.seeds = 1;
    axes.n_batches = 2;
    axes.batches[1] = 8;
    memcpy(list, given, sizeof list);
    list[2].text = cln_optimizer_words[optimizer];
    axes.given = list;
    axes.n_given = 3;
    OK(cln_study_new(&axes, at(""), &data, &s, &err));
    ck_assert_int_eq(s->n_runs, 6);
    ck_assert_double_eq(s->runs[0].options.lr, bn.lr);
    ck_assert_double_eq_tol(s->runs[3].options.lr, bn.lr / (optimizer == CLN_OPTIMIZER_SGD ? 16 : 4), 1e-6 * bn.lr);
    ck_assert_double_eq_tol(s->runs[4].options.lr, s->runs[3].options.lr, 1e-9);
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(s->runs[i].options.epochs, 3);
        ck_assert_int_eq(s->runs[i].options.shift, 1);
    }
    cln_study_free(s);
}
END_TEST

/* ---- pairs --------------------------------------------------------------------------------------- */

/* The first batch of epoch 1 as the network sees it, then all convolution weights before it; floats. */
static float *start_of(cln_device *dev, const cln_train_options *o, size_t *n)
{
    cln_trainer *t = stripes_trainer(dev, &data, o);
    const cln_augment augment = {o->flip, o->shift, o->seed, 1, 0};
    const size_t batch = (size_t)o->batch, pixels = batch * (size_t)(data.c * data.h * data.w);
    float *out = malloc((pixels + batch + t->plan->n_weights) * sizeof *out);
    ck_assert_ptr_nonnull(out);
    OK(cln_feed_shuffle(t->train, o->seed, 1, &err));
    OK(cln_feed_batch(t->train, 0, o->batch, &augment, t->plan->input, t->loss->labels, &err));
    OK(cln_tensor_read(dev, t->plan->input, 0, out, pixels * sizeof *out, &err));
    OK(cln_tensor_read(dev, t->loss->labels, 0, out + pixels, batch * sizeof *out, &err));
    *n = pixels + batch;
    for (int i = 0; i < t->plan->n_slots; i++) {
        const cln_slot *slot = &t->plan->slots[i];
        if (slot->state || slot->offset >= t->plan->n_decay) /* gamma, beta, bias */
            continue;
        OK(cln_tensor_read(dev, t->plan->weights, slot->offset * sizeof(float), out + *n, slot->count * sizeof(float), &err));
        *n += slot->count;
    }
    cln_trainer_free(t);
    return out;
}

START_TEST(norms_of_one_seed_start_alike)
{
    cln_device *dev;
    cln_study_axes axes;
    cln_study *s;
    cln_study_defaults(&axes);
    axes.seeds = 2;
    axes.batches[0] = STRIPES_BATCH;
    OK(cln_device_open(NULL, false, &dev, &err));
    OK(cln_study_new(&axes, at(""), &data, &s, &err));
    size_t n, m;
    float *bn = start_of(dev, &s->runs[0].options, &n);
    for (int i = 1; i < s->n_runs; i++) {
        float *other = start_of(dev, &s->runs[i].options, &m);
        ck_assert_uint_eq(n, m);
        if (s->runs[i].options.seed == 1)
            ck_assert_mem_eq(bn, other, n * sizeof *bn);
        else
            ck_assert_mem_ne(bn, other, n * sizeof *bn);
        free(other);
    }
    free(bn);
    cln_study_free(s);
    cln_device_close(dev);
}
END_TEST

/* ---- settings ------------------------------------------------------------------------------------ */

START_TEST(settings_are_told_apart)
{
    cln_given given[] = {{cln_field_find("lr"), "0.1"}};
    cln_study_axes axes;
    cln_study *s;
    cln_study_defaults(&axes);
    axes.batches[0] = 96; /* a rate that is no short number */
    OK(cln_study_new(&axes, at("study"), &data, &s, &err));
    OK(cln_study_look(s, &err)); /* nothing there: fine */
    OK(cln_study_begin(s, &err));
    OK(cln_study_look(s, &err));
    cln_study_free(s);
    OK(cln_study_new(&axes, at("study"), &data, &s, &err));
    OK(cln_study_look(s, &err));
    cln_study_free(s);
    axes.given = given;
    axes.n_given = 1;
    OK(cln_study_new(&axes, at("study"), &data, &s, &err));
    ck_assert_int_eq(cln_study_look(s, &err), CLN_ERR_EXISTS);
    ck_assert_msg(strstr(err.text, "recipes bn lr") != NULL, "%s", err.text);
    cln_study_free(s);
    axes.n_given = 0;
    data.digest[0] = data.digest[0] == 'a' ? 'b' : 'a';
    OK(cln_study_new(&axes, at("study"), &data, &s, &err));
    ck_assert_int_eq(cln_study_look(s, &err), CLN_ERR_EXISTS);
    ck_assert_msg(strstr(err.text, "data_sha256") != NULL, "%s", err.text);
    cln_study_free(s);
}
END_TEST

/* ---- outcomes ------------------------------------------------------------------------------------ */

enum { IMAGES = 40 };

/* Every third one is wrong. */
static cln_outcome make_outcome(void)
{
    static int32_t predicted[IMAGES];
    static float confidence[IMAGES];
    cln_outcome o = {0};
    for (int i = 0; i < IMAGES; i++) {
        predicted[i] = i % 3 == 0 ? (data.test_y[i] + 1) % data.classes : data.test_y[i];
        confidence[i] = 0.5f + 0.01f * (float)i;
    }
    const cln_evaluation e = {0.7, 65, IMAGES, predicted, confidence, NAN};
    ck_assert_uint_ge(data.n_test, IMAGES);
    OK(cln_outcome_of(&data, data.test_x, data.test_y, &e, &o, &err));
    return o;
}

START_TEST(outcome_counts_and_comes_back)
{
    cln_outcome o = make_outcome(), back = {0};
    const size_t image = (size_t)data.c * (size_t)data.h * (size_t)data.w;
    ck_assert_int_eq(cln_outcome_wrong(&o), 14);
    ck_assert_int_eq(o.n_mistakes, CLN_MISTAKES_MAX);
    for (int i = 0; i < o.n_mistakes; i++) {
        ck_assert_int_eq(o.mistakes[i].image, 3 * i);
        ck_assert_mem_eq(o.mistakes[i].pixels, data.test_x + 3 * (size_t)i * image, image);
    }
    o.mistakes[1].confidence = NAN; /* of a network whose logits are not finite */
    OK(cln_outcome_write(&o, at("outcome.json"), &err));
    OK(cln_outcome_read(at("outcome.json"), &back, &err));
    ck_assert_int_eq(back.n, IMAGES);
    ck_assert_double_eq(back.acc, o.acc);
    ck_assert_mem_eq(back.confusion, o.confusion, (size_t)(o.classes * o.classes) * sizeof(int));
    for (int i = 0; i < o.classes; i++)
        ck_assert_str_eq(back.class_names[i], data.class_names[i]);
    ck_assert_int_eq(back.n_mistakes, o.n_mistakes);
    for (int i = 0; i < o.n_mistakes; i++) {
        ck_assert_int_eq(back.mistakes[i].predicted, o.mistakes[i].predicted);
        ck_assert_mem_eq(back.mistakes[i].pixels, o.mistakes[i].pixels, image);
        ck_assert((back.mistakes[i].confidence > 0) == (i != 1));
    }
    OK(cln_outcome_draw(&back, at("m.png"), "mistakes", &err));
    cln_outcome_clear(&o);
    cln_outcome_clear(&back);
}
END_TEST

/* Whatever stands in the file: read, or refused with a line that names it; nothing leaks or is left in the result. */
START_TEST(damaged_outcomes_are_refused)
{
    cln_outcome o = make_outcome(), none = {0};
    OK(cln_outcome_write(&o, at("outcome.json"), &err));
    cln_outcome_clear(&o);
    const blob good = get("outcome.json");
    uint32_t state = 1;
    for (int i = 0; i < 400; i++) {
        char *bytes = malloc(good.size + 1);
        ck_assert_ptr_nonnull(bytes);
        memcpy(bytes, good.bytes, good.size);
        size_t n = good.size;
        for (int k = 0; k < 1 + i % 3; k++) {
            state = state * 1664525u + 1013904223u;
            bytes[(state >> 8) % (k ? good.size : 900)] = "0}]\"-x,9"[state >> 29];
        }
        if (i % 8 == 7)
            n = (state >> 5) % good.size;
        put("bad.json", bytes, n);
        free(bytes);
        memset(&err, 0, sizeof err);
        const int rc = cln_outcome_read(at("bad.json"), &o, &err);
        if (rc) {
            ck_assert_int_eq(rc, CLN_ERR_DATA);
            ck_assert_ptr_nonnull(strstr(err.text, "bad.json"));
            ck_assert_ptr_null(strchr(err.text, '\n'));
            ck_assert_mem_eq(&o, &none, sizeof o);
        }
        cln_outcome_clear(&o);
    }
    free(good.bytes);
    ck_assert_int_eq(cln_outcome_read(at("nowhere.json"), &o, &err), CLN_ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("study");
    TCase *c = tcase_create("study");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 300);
    tcase_add_test(c, default_plan);
    tcase_add_test(c, sweeps_go_out_from_the_base);
    tcase_add_loop_test(c, rate_goes_with_the_batch, 0, 3); /* optimisers */
    tcase_add_test(c, norms_of_one_seed_start_alike);
    tcase_add_test(c, settings_are_told_apart);
    tcase_add_test(c, outcome_counts_and_comes_back);
    tcase_add_test(c, damaged_outcomes_are_refused);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
