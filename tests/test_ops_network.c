/* Whole networks on a device against the references (ops/network.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/network.h"

enum { BATCH = 4, CLASSES = 5 };
static const cln_shape input = {BATCH, 8, 8, 3};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
static cln_device *dev;
static cln_error err;

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

static void check(const char *net, const char *norm, const char *way, cln_plan_options options)
{
    cln_verdict v = {0};
    cln_network_check(dev, net, norm, CLASSES, input, &options, &v);
    ck_assert_msg(v.failures == 0, "%s, %s", way, v.first);
}

/* Every algorithm, its own class's kernels around it, fused; and all layers alone. Two that differ in nothing for these
 * sizes are two all the same. */
START_TEST(networks)
{
    const char *net = cln_networks[_i / 5], *norm = norms[_i % 5];
    for (int algo = 0; algo < CLN_CONV_ALGOS; algo++) {
        const cln_class cls = algo == CLN_CONV_SIMT ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR;
        check(net, norm, cln_conv_algo_name((cln_conv_algo)algo),
              (cln_plan_options){{cls, algo}, true, true, false});
    }
    check(net, norm, "vector",
          (cln_plan_options){{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, false, false, false});
}
END_TEST

/* Every smooth activation behind a norm and a pool, before a residual sum, and alone. */
START_TEST(smooth_activations)
{
    const char *net = "conv 8 k=3\n$norm\nsilu\nmaxpool 2\ndwconv k=3\n$norm\nsilu\np: conv 8 k=3\n$norm\ncelu\nconv 8 k=3\n$norm\nadd p\ngelu\n"
                      "conv 8 k=3\n$norm\nsilu\nconv 8 k=1\n$norm\nsilu\ngap\nconv $classes k=1 bias=1\n";
    const char *norm = _i ? "gn" : "bn";
    check(net, norm, "vector", (cln_plan_options){{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, true, true, false});
    check(net, norm, "pointwise", (cln_plan_options){{CLN_CLASS_VECTOR, CLN_CONV_POINTWISE}, true, true, false});
    check(net, norm, "winograd", (cln_plan_options){{CLN_CLASS_VECTOR, CLN_CONV_WINOGRAD}, true, true, false});
    check(net, norm, "simt", (cln_plan_options){{CLN_CLASS_SIMT, CLN_CONV_SIMT}, true, true, false});
    check(net, norm, "alone", (cln_plan_options){{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, false, false, false});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("network");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, networks, 0, 5 * CLN_NETWORKS);
    suite_add_tcase(suite, tcase);
    TCase *smooth = tcase_create("smooth");
    tcase_add_checked_fixture(smooth, setup, teardown);
    tcase_set_timeout(smooth, 300);
    tcase_add_loop_test(smooth, smooth_activations, 0, 2);
    suite_add_tcase(suite, smooth);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
