/* Whole networks on a device against the references (ops/network.h). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "ops/network.h"
#include "tuning.h"

enum { BATCH = 4, CLASSES = 5 };
static const cln_shape input = {BATCH, 8, 8, 3};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};

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

/* The gradients of a 1x1 convolution by two algorithms, of which the first makes dz and leaves it to the second. */
START_TEST(two_algorithms)
{
    static const char table[] = "vector bwd_params 16->32,1x1/1,8x8 vector\nvector bwd_data 16->32,1x1/1,8x8 pointwise\n"
                                "vector bwd_params 32->16,1x1/1,8x8 pointwise\nvector bwd_data 32->16,1x1/1,8x8 vector\n";
    const char *net = "conv 16 k=3\n$norm\nrelu\nconv 32 k=1\n$norm\nrelu\nconv 16 k=1\n$norm\nrelu\nconv 16 k=3\n$norm\n"
                      "relu\ngap\nconv $classes k=1 bias=1\n";
    cln_tuning *t = NULL;
    OK(cln_tuning_parse(table, strlen(table), &t, &err));
    cln_tuning_use(dev, t);
    for (int guard = 0; guard < 2; guard++)
        check(net, norms[_i], guard ? "two algorithms, guarded" : "two algorithms",
              (cln_plan_options){{CLN_CLASS_VECTOR, -1}, true, guard, false});
}
END_TEST

/* The bias of a convolution that reads the data and has a norm behind it: nobody but it wants dz. (With bn and in its
 * gradient is 0.) */
START_TEST(bias_of_the_first)
{
    static const char *const some[] = {"ln", "gn", "none"};
    const char *net = "conv 16 k=3 bias=1\n$norm\nrelu\ngap\nconv $classes k=1 bias=1\n";
    static const cln_shape four_channels = {BATCH, 8, 8, 4};
    for (int algo = 0; algo < CLN_CONV_ALGOS; algo++) {
        const cln_class cls = algo == CLN_CONV_SIMT ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR;
        const cln_plan_options options = {{cls, algo}, true, true, false};
        cln_verdict v = {0};
        cln_network_check(dev, net, some[_i], CLASSES, four_channels, &options, &v);
        ck_assert_msg(v.failures == 0, "%s, %s", cln_conv_algo_name((cln_conv_algo)algo), v.first);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("network");
    TCase *tcase = tcase_create("device");
    tcase_add_unchecked_fixture(tcase, device_open, device_close); /* one process: starting takes longer than most tests */
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, networks, 0, 5 * CLN_NETWORKS);
    suite_add_tcase(suite, tcase);
    TCase *special = tcase_create("special");
    tcase_add_checked_fixture(special, device_open, device_close);
    tcase_set_timeout(special, 300);
    tcase_add_loop_test(special, smooth_activations, 0, 2);
    tcase_add_loop_test(special, two_algorithms, 0, 2);
    tcase_add_loop_test(special, bias_of_the_first, 0, 3);
    suite_add_tcase(suite, special);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
