/* Convolution and dense by every algorithm, pooling, add and dropout against
 * naive double references: awkward shapes, partial batches, both device classes, outputs full of
 * NaN between guard bands, = and +=, everything twice and equal bit for bit. */
#include "common/values.h"
#include "ops/cases.h"
#include "ops/naive.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_device *dev;

static void open_device(void)
{
    cln_error err = {0};
    ck_assert_msg(cln_device_open(NULL, false, &dev, &err) == 0, "%s", err.text);
}

static void close_device(void)
{
    cln_device_close(dev);
    dev = NULL;
}

static size_t floats(cln_tensor t)
{
    return t.bytes / sizeof(float);
}

static double *doubles(size_t count)
{
    double *values = calloc(count + 1, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

/* Whether the algorithm (-1: the table's choice) runs any direction of the layer. */
static bool covers(const cln_case *c, int conv)
{
    cln_layer l;
    cln_error err = {0};
    bool any = false;
    if (conv < 0)
        return true;
    ck_assert_msg(cln_lone_layer(&l, c->line, c->in, &err) == 0, "%s", err.text);
    const cln_conv_shape s = cln_case_conv_shape(&l);
    for (int d = CLN_CONV_FWD; d <= CLN_CONV_BWD_PARAMS && !any; d++)
        any = cln_conv_impl_of((cln_conv_algo)conv)->supports(&dev->info, &s, d);
    return any;
}

/* Whether there are cases of the layer that the algorithm has to run on this device. */
static bool has_cases(const char *word, int conv)
{
    const bool cpu = dev->info.local_is_global && dev->info.vector_width >= 4 && strcmp(word, "conv") == 0;
    return conv < 0 || conv == CLN_CONV_SIMT ||
           (cpu && (conv == CLN_CONV_VECTOR || conv == CLN_CONV_WINOGRAD || conv == CLN_CONV_POINTWISE));
}

/* Every case of a layer in both classes, = and +=. */
static void check_cases(const char *word, int conv)
{
    cln_verdict v = {0};
    for (const cln_case *c = cln_cases; c->line; c++) {
        if (!cln_case_is(c, word) || !covers(c, conv))
            continue;
        /* += rounds once more, which 1e-12 does not allow: there dropout's is compared by = alone */
        const bool exact = cln_case_is(c, "dropout") && c->tolerance < 1e-7;
        for (int k = 0; k < (exact ? 2 : 4); k++)
            cln_case_check(dev, c,
                           &(cln_tune_request){k & 1 ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR, conv},
                           k >= 2, &v);
    }
    printf("%-8s conv %2d, %2d cases: worst %.1e of %.1e allowed\n", word, conv, v.cases, v.error,
           v.allowed);
    ck_assert_msg(v.failures == 0, "%d failures; the first: %s", v.failures, v.first);
    ck_assert(v.cases > 0 || !has_cases(word, conv));
}

/* ---- convolution and dense ------------------------------------------------------------------- */

/* _i: an algorithm, or -1 for the table's choice. */
START_TEST(conv)
{
    check_cases("conv", _i);
}
END_TEST

START_TEST(dwconv)
{
    check_cases("dwconv", -1);
}
END_TEST

START_TEST(dense)
{
    check_cases("dense", _i);
}
END_TEST

typedef struct one_run {
    cln_lone t;
    cln_case_values v;
} one_run;

static void run_with(const cln_case *c, cln_class cls, int algo, one_run *r)
{
    cln_error err = {0};
    const cln_tune_request request = {cls, algo};
    ck_assert_msg(cln_case_run(&r->t, dev, c, &request, false, 2, &r->v, &err) == 0, "%s", err.text);
}

static void hold_runs(const char *name, const one_run *a, const one_run *b, double tolerance)
{
    const size_t count[] = {floats(a->t.node.y), floats(a->t.node.dx[0]), floats(a->t.node.grad[0]),
                            floats(a->t.node.grad[1])};
    const float *const got[] = {a->v.y, a->v.dx[0], a->v.grad[0], a->v.grad[1]};
    const float *const other[] = {b->v.y, b->v.dx[0], b->v.grad[0], b->v.grad[1]};
    for (int k = 0; k < 4; k++) {
        double *want = doubles(count[k]);
        for (size_t i = 0; i < count[k]; i++)
            want[i] = other[k][i];
        const cln_test_difference d = cln_test_compare(got[k], want, count[k]);
        ck_assert_msg(d.finite && d.max <= tolerance && d.nmse <= 1e-10,
                      "%s and simt, output %d: max %.2e, NMSE %.2e", name, k, d.max, d.nmse);
        free(want);
    }
}

/* All algorithms directly against each other, in both classes, on shapes of the study's network. */
START_TEST(algorithms_agree)
{
    static const cln_case cases[] = {{.line = "conv 32 k=3 bias=1", .in = {8, 16, 16, 16}},
                                     {.line = "conv 16 k=3 bias=1", .in = {3, 8, 8, 32}},
                                     {.line = "conv 16 k=1 bias=1", .in = {3, 16, 16, 32}}};
    const cln_class classes[] = {CLN_CLASS_VECTOR, CLN_CLASS_SIMT};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        one_run simt, other;
        run_with(&cases[i], CLN_CLASS_SIMT, CLN_CONV_SIMT, &simt);
        for (int algo = 0; algo < CLN_CONV_ALGOS; algo++)
            for (int k = 0; k < 2 && covers(&cases[i], algo); k++) {
                run_with(&cases[i], classes[k], algo, &other);
                const cln_conv_shape s = cln_case_conv_shape(&other.t.layer);
                const cln_conv_impl *impl = cln_conv_impl_of((cln_conv_algo)algo);
                if (impl->supports(&dev->info, &s,
                                   CLN_CONV_FWD)) /* what was asked for is what ran */
                    ck_assert_int_eq(other.t.node.tune.fwd, algo);
                hold_runs(cln_conv_algo_name((cln_conv_algo)algo), &other, &simt, CLN_CASE_TOLERANCE);
                cln_case_values_free(&other.v);
                cln_lone_free(&other.t);
            }
        cln_case_values_free(&simt.v);
        cln_lone_free(&simt.t);
    }
}
END_TEST

/* CLBlast keeps programs by context: a device that is closed and opened again must get its own. */
START_TEST(gemm_after_reopening)
{
    cln_verdict v = {0};
    const cln_case c = {.line = "conv 7 k=3 bias=1", .in = {3, 9, 7, 5}};
    for (int round = 0; round < 2; round++) {
        cln_case_check(dev, &c, &(cln_tune_request){CLN_CLASS_AUTO, CLN_CONV_GEMM}, false, &v);
        close_device();
        open_device();
    }
    ck_assert_msg(v.failures == 0, "%s", v.first);
}
END_TEST

/* ---- pooling --------------------------------------------------------------------------------- */

START_TEST(maxpool)
{
    check_cases("maxpool", -1);
}
END_TEST

START_TEST(average)
{
    check_cases("avgpool", -1);
    check_cases("gap", -1);
}
END_TEST

/* A NaN anywhere in a window reaches the output, and the gradient goes to it. */
START_TEST(maxpool_nan)
{
    for (int where = 0; where < 4; where++) {
        cln_lone t;
        cln_error err = {0};
        float x[4] = {1, 2, 3, 4}, dy = 1, y = 0, dx[4];
        const cln_pass pass = {.n = 1, .train = true};
        x[where] = NAN;
        int rc =
            cln_lone_new(&t, dev, "maxpool 2", (cln_shape){1, 2, 2, 1}, NULL, NULL, NULL, &err);
        rc = rc ? rc : cln_lone_write(&t, t.node.x[0], x, &err);
        rc = rc ? rc : cln_lone_write(&t, t.node.dy, &dy, &err);
        rc = rc ? rc : cln_lone_forward(&t, &pass, &err);
        rc = rc ? rc : cln_lone_backward(&t, &pass, &err);
        rc = rc ? rc : cln_lone_read(&t, t.node.y, &y, &err);
        rc = rc ? rc : cln_lone_read(&t, t.node.dx[0], dx, &err);
        ck_assert_msg(rc == 0, "%s", err.text);
        ck_assert(isnan(y));
        for (int i = 0; i < 4; i++)
            ck_assert_msg(dx[i] == (i == where ? 1.0f : 0.0f), "NaN at %d: dx[%d] = %g", where, i,
                          dx[i]);
        cln_lone_free(&t);
    }
}
END_TEST

/* ---- elementwise ----------------------------------------------------------------------------- */

START_TEST(point)
{
    check_cases("add", -1);
    check_cases("dropout", -1);
    check_cases("sigmoid", -1);
    check_cases("scale", -1);
}
END_TEST

/* The reference's mask: the wanted share of zeros, another one at another step, seed and layer. */
START_TEST(dropout_mask)
{
    enum { N = 100000 };
    double *mask[4], kept = 0;
    for (int k = 0; k < 4; k++) {
        mask[k] = doubles(N);
        naive_dropout_mask(N, 0.3, k == 1 ? 4 : 3, k == 2 ? 12 : 11, k == 3 ? 6 : 5, mask[k]);
    }
    for (int i = 0; i < N; i++)
        kept += mask[0][i] != 0.0;
    ck_assert_double_eq_tol(kept / N, 0.7, 0.006); /* four standard deviations */
    for (int k = 1; k < 4; k++) {
        double same = 0;
        for (int i = 0; i < N; i++)
            same += (mask[0][i] != 0.0) == (mask[k][i] != 0.0);
        ck_assert_double_eq_tol(same / N, 0.58, 0.0065);
    }
    for (int k = 0; k < 4; k++)
        free(mask[k]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops_small");
    TCase *device = tcase_create("device"), *host = tcase_create("host");
    tcase_add_unchecked_fixture(device, open_device,
                                close_device); /* one process, which compiles once */
    tcase_add_loop_test(device, conv, -1, CLN_CONV_ALGOS);
    tcase_add_test(device, dwconv);
    tcase_add_loop_test(device, dense, -1, CLN_CONV_ALGOS);
    tcase_add_test(device, algorithms_agree);
    tcase_add_test(device, gemm_after_reopening);
    tcase_add_test(device, maxpool);
    tcase_add_test(device, average);
    tcase_add_test(device, maxpool_nan);
    tcase_add_test(device, point);
    tcase_add_test(host, dropout_mask);
    suite_add_tcase(suite, device);
    suite_add_tcase(suite, host);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
