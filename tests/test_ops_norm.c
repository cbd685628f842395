/* The norms on a device against the naive double-precision reference (ops/stages.h), and their properties. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/values.h"
#include "ops/stages.h"

static const char *const norms[] = {"bn", "ln", "gn", "in"};
static const cln_class both[] = {CLN_CLASS_VECTOR, CLN_CLASS_SIMT};

static double *widen(const float *values, size_t count)
{
    double *p = calloc(count + 1, sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < count; i++)
        p[i] = values[i];
    return p;
}

static void hold(const cln_verdict *v)
{
    printf("%3d cases: worst %.1e of %.1e allowed\n", v->cases, v->error, v->allowed);
    ck_assert_int_gt(v->cases, 0);
    ck_assert_msg(v->failures == 0, "%d failures; the first: %s", v->failures, v->first);
}

/* Alone, with any values; group norm by 4 groups. */
static cln_stage_case case_of(const char *word, cln_shape in, cln_class cls)
{
    cln_stage_case k = {"", in, 0, false, 1, cls, CLN_VALUES_NORMAL, false};
    snprintf(k.line, sizeof k.line, "%s", word);
    return k;
}

/* ---- against the reference ----------------------------------------------------------------------- */

static void check_set(cln_stage_set set, cln_class cls)
{
    cln_verdict v = {0};
    cln_stage_check_set(dev, set, NULL, cls, &v);
    hold(&v);
}

START_TEST(shapes)
{
    check_set(CLN_STAGE_SHAPES, both[_i]);
}
END_TEST

START_TEST(groups)
{
    check_set(CLN_STAGE_GROUPS, both[_i]);
}
END_TEST

START_TEST(all_values)
{
    check_set(CLN_STAGE_VALUES, both[_i]);
}
END_TEST

START_TEST(accumulate_and_partial_batch)
{
    check_set(CLN_STAGE_EDGES, both[_i]);
}
END_TEST

START_TEST(smooth_activations)
{
    check_set(CLN_STAGE_SMOOTH, both[_i]);
}
END_TEST

START_TEST(what_the_doctor_checks)
{
    check_set(CLN_STAGE_DOCTOR, both[_i]);
}
END_TEST

/* ---- properties ---------------------------------------------------------------------------------- */

/* Before the affine, each set has mean 0 and variance var / (var + eps); and scale and shift of the input leave
 * the output alone. */
START_TEST(mean_variance_and_invariance)
{
    for (int norm = 0; norm < 4; norm++) {
        const cln_stage_case k = case_of(norms[norm], (cln_shape){3, 9, 8, 12}, both[_i]);
        cln_layer layer;
        OK(cln_lone_layer(&layer, k.line, k.in, &err));
        const naive_stage s = naive_stage_of(&layer);
        const size_t count = cln_shape_count(k.in);
        float *z = cln_test_random(count, 21), *moved = malloc(count * sizeof *moved);
        for (size_t i = 0; i < count; i++) {
            z[i] *= 64.0f; /* so that eps does not matter */
            moved[i] = 5.0f * z[i] + 37.0f;
        }
        float *y, *again;
        OK(cln_stage_forward(dev, &k, true, z, NULL, NULL, NULL, NULL, &y, &err));
        OK(cln_stage_forward(dev, &k, true, moved, NULL, NULL, NULL, NULL, &again, &err));
        double *yd = widen(y, count), mean[64], var[64], worst = 0;
        naive_stage_statistics(&s, yd, mean, var);
        for (int i = 0; i < naive_stage_sets(&s); i++)
            ck_assert_msg(fabs(mean[i]) < 1e-6 && fabs(var[i] - 1) < 2e-6,
                          "%s: set %d: mean %g, variance %g", k.line, i, mean[i], var[i]);
        for (size_t i = 0; i < count; i++)
            worst = fmax(worst, fabs((double)y[i] - (double)again[i]));
        ck_assert_msg(worst < 5e-6, "%s: scale and shift move the output by %g", k.line, worst);
        free(z);
        free(moved);
        free(y);
        free(again);
        free(yd);
    }
}
END_TEST

/* Values that differ by nothing, or by less than eps can see (down to denormals, which a device may flush): what is left is
 * beta. `constant` 0: random numbers times `scale`. */
static void gives_beta(const char *word, cln_shape in, cln_class cls, float constant, float scale)
{
    const cln_stage_case k = case_of(word, in, cls);
    const size_t count = cln_shape_count(in);
    float *z = cln_test_random(count, 31), *gamma = cln_test_random((size_t)in.c, 32),
          *beta = cln_test_random((size_t)in.c, 33), *y;
    for (size_t i = 0; i < count; i++)
        z[i] = constant != 0 ? constant : scale * z[i];
    OK(cln_stage_forward(dev, &k, true, z, gamma, beta, NULL, NULL, &y, &err));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(y[i] == beta[i % (size_t)in.c], "%s of %g (scale %g): y[%zu] = %g, beta = %g",
                      k.line, (double)constant, (double)scale, i, (double)y[i],
                      (double)beta[i % (size_t)in.c]);
    free(z);
    free(gamma);
    free(beta);
    free(y);
}

START_TEST(what_does_not_vary_gives_beta)
{
    static const float constants[] = {1.7f, -1e15f, 1e-30f, 12345.678f};
    static const cln_shape in = {3, 9, 8, 12}, pixel = {3, 1, 1, 12};
    for (int norm = 0; norm < 4; norm++) {
        for (int i = 0; i < 4; i++)
            gives_beta(norms[norm], in, both[_i], constants[i], 0);
        gives_beta(norms[norm], in, both[_i], 0, 1e-20f);
        gives_beta(norms[norm], in, both[_i], 0, 1e-41f);
    }
    gives_beta("in", pixel, both[_i], 0, 1); /* one value a set: it is its own mean */
    gives_beta("in", pixel, both[_i], 0, 1e15f);
    gives_beta("gn groups=12", pixel, both[_i], 0, 1);
}
END_TEST

/* The same norm by several names: groups of all channels, of one channel, and a batch of one image. */
static void gives_the_same(const char *a, const char *b, cln_shape in, cln_class ca, cln_class cb)
{
    const cln_stage_case ka = case_of(a, in, ca), kb = case_of(b, in, cb);
    const size_t count = cln_shape_count(in);
    float *z = cln_test_random(count, 41), *gamma = cln_test_random((size_t)in.c, 42),
          *beta = cln_test_random((size_t)in.c, 43), *ya, *yb;
    double worst = 0;
    for (size_t i = 0; i < count; i++)
        z[i] += 3.0f; /* a mean of five deviations */
    OK(cln_stage_forward(dev, &ka, true, z, gamma, beta, NULL, NULL, &ya, &err));
    OK(cln_stage_forward(dev, &kb, true, z, gamma, beta, NULL, NULL, &yb, &err));
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)ya[i] - (double)yb[i]));
    ck_assert_msg(worst < 5e-6, "%s and %s are %g apart", a, b, worst);
    free(z);
    free(gamma);
    free(beta);
    free(ya);
    free(yb);
}

START_TEST(norms_and_classes_agree)
{
    static const cln_shape many = {3, 9, 8, 12}, single = {1, 9, 8, 12};
    gives_the_same("ln", "gn groups=1", many, both[_i], both[_i]);
    gives_the_same("in", "gn groups=12", many, both[_i], both[_i]);
    gives_the_same("bn", "in", single, both[_i], both[_i]);
    for (int norm = 0; norm < 4; norm++)
        gives_the_same(norms[norm], norms[norm], many, both[0], both[1]);
}
END_TEST

/* Running statistics in evaluation, for one image of one pixel too. */
START_TEST(batch_norm_evaluates)
{
    static const cln_shape list[] = {{1, 1, 1, 5}, {3, 6, 4, 16}, {2, 5, 5, 12}};
    cln_verdict v = {0};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        for (int form = 0; form < 4; form++) {
            if (form & 2 && (list[i].h % 2 || list[i].w % 2))
                continue;
            cln_stage_case k = case_of("bn", list[i], both[_i]);
            k.act = form & 1;
            k.pool = form & 2 ? 2 : 1;
            cln_stage_check_evaluation(dev, &k, &v);
        }
    hold(&v);
}
END_TEST

/* A NaN anywhere, also in any corner of what is pooled, is NaN behind the stage; its neighbours are not. */
START_TEST(nan_is_seen)
{
    static const int acts[] = {NAIVE_NONE, NAIVE_RELU, NAIVE_SILU};
    for (int form = 0; form < 6; form++)
        for (int where = 0; where < 4; where++) {
            cln_stage_case k = case_of("bn", (cln_shape){1, 2, 2, 20}, both[_i]);
            k.act = acts[form / 2];
            k.pool = form % 2 ? 2 : 1;
            float *z = cln_test_random(80, 1), *y;
            z[where * 20 + 17] = NAN;
            OK(cln_stage_forward(dev, &k, false, z, NULL, NULL, NULL, NULL, &y, &err));
            for (int i = 0; i < (form % 2 ? 20 : 80); i++)
                ck_assert_msg(!isnan(y[i]) == (i != (form % 2 ? 17 : where * 20 + 17)),
                              "activation %d, pooling %d, NaN at pixel %d: y[%d] = %g", k.act, k.pool, where, i, y[i]);
            free(z);
            free(y);
        }
}
END_TEST

START_TEST(batch_norm_refuses_one_value)
{
    const cln_stage_case k = case_of("bn", (cln_shape){1, 1, 1, 8}, both[_i]);
    float *z = cln_test_random(8, 1), *y;
    ck_assert_int_eq(cln_stage_forward(dev, &k, true, z, NULL, NULL, NULL, NULL, &y, &err),
                     CLN_ERR_MODEL);
    ck_assert_ptr_nonnull(strstr(err.text, "more than one value per channel"));
    free(z);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("norm");
    TCase *device = tcase_create("device");
    tcase_add_checked_fixture(device, device_open, device_close);
    tcase_set_timeout(device, 300); /* a cold cache means compiling */
    tcase_add_loop_test(device, shapes, 0, 2);
    tcase_add_loop_test(device, groups, 0, 2);
    tcase_add_loop_test(device, all_values, 0, 2);
    tcase_add_loop_test(device, accumulate_and_partial_batch, 0, 2);
    tcase_add_loop_test(device, what_the_doctor_checks, 0, 2);
    tcase_add_loop_test(device, smooth_activations, 0, 2);
    tcase_add_loop_test(device, mean_variance_and_invariance, 0, 2);
    tcase_add_loop_test(device, what_does_not_vary_gives_beta, 0, 2);
    tcase_add_loop_test(device, norms_and_classes_agree, 0, 2);
    tcase_add_loop_test(device, batch_norm_evaluates, 0, 2);
    tcase_add_loop_test(device, nan_is_seen, 0, 2);
    tcase_add_loop_test(device, batch_norm_refuses_one_value, 0, 2);
    suite_add_tcase(suite, device);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
