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

static const struct {
    const char *name;
    cln_plan_options options;
} ways[] = {{"vector, fused", {{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, true, true, false}},
            {"vector, unfused", {{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, false, false, false}},
            {"winograd, fused", {{CLN_CLASS_VECTOR, CLN_CONV_WINOGRAD}, true, true, false}},
            {"simt, fused", {{CLN_CLASS_SIMT, CLN_CONV_SIMT}, true, false, false}},
            {"gemm, fused", {{CLN_CLASS_VECTOR, CLN_CONV_GEMM}, true, false, false}}};

START_TEST(networks)
{
    const char *net = cln_networks[_i / 5], *norm = norms[_i % 5];
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        cln_verdict v = {0};
        cln_network_check(dev, net, norm, CLASSES, input, &ways[w].options, &v);
        ck_assert_msg(v.failures == 0, "net %d, %s: %s", _i / 5, ways[w].name, v.first);
    }
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
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
