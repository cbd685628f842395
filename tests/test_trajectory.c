/* Ten training steps against the same steps in double precision by PyTorch (fixtures/make_trajectory.py): losses,
 * gradient norms, running statistics, and logits in evaluation, for every norm, three models and both kernel classes.
 * This is where the norms, the convolutions, the loss and the optimiser meet a judge that is not our own. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/trajectory.h"

static const char *const models[] = {"s8", "s8r", "resnet20"};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
static const cln_plan_options variants[] = {{{CLN_CLASS_VECTOR, -1}, true, false, false},
                                            {{CLN_CLASS_SIMT, CLN_CONV_SIMT}, true, false, false}};

START_TEST(follows_pytorch)
{
    char sha[CLN_SHA256_HEX];
    for (int norm = 0; norm < 5; norm++) {
        cln_verdict v = {0};
        cln_trajectory_follow(dev, models[_i / 2], norms[norm], &variants[_i % 2],
                              CLN_TRAJECTORY_STEPS, sha, &v);
        printf("%s %s %s: worst %.1e\n", models[_i / 2], norms[norm], _i % 2 ? "simt" : "vector",
               v.error);
        ck_assert_msg(v.failures == 0, "%s (%s): %s", models[_i / 2], _i % 2 ? "simt" : "vector",
                      v.first);
    }
}
END_TEST

/* A fixture that is not there, and a number that is not in it. */
START_TEST(missing)
{
    cln_trajectory t;
    ck_assert_int_eq(cln_trajectory_open(&t, "s9", "bn", &err), CLN_ERR_INTERNAL);
    OK(cln_trajectory_open(&t, "s8", "bn", &err));
    ck_assert(isnan(cln_trajectory_value(&t, "loss 11", 0)));
    ck_assert(isnan(cln_trajectory_value(&t, "loss 1", 1)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trajectory");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, device_open, device_close);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, follows_pytorch, 0, 6);
    tcase_add_test(tcase, missing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
