/* Devices that pretend to be smaller (runtime/simulate.h): what is asked for, what is refused, and that layers and
 * networks give the same as ever under limits that no device of a developer has. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/trajectory.h"
#include "kernel.h"
#include "ops/cases.h"
#include "ops/network.h"
#include "ops/stages.h"
#include "ops/training.h"
#include "simulate.h"

static cln_error err;

static cln_device *open_as(const char *limits)
{
    cln_device *dev = NULL;
    setenv("CLNORM_SIMULATE", limits, 1);
    const int rc = cln_device_open(NULL, false, &dev, &err);
    unsetenv("CLNORM_SIMULATE");
    ck_assert_msg(rc == 0, "%s", err.text);
    return dev;
}

/* ---- what is asked for ------------------------------------------------------------------------ */

static const struct {
    const char *limits, *say;
} bad[] = {{"width=3", "'width=3': width is 1, 2, 4, 8 or 16"},
           {"width=32", "'width=32': width is"},
           {"width=0", "'width=0': width is"},
           {"workgroup", "'workgroup': workgroup is a number"},
           {"workgroup=-1", "'workgroup=-1'"},
           {"workgroup= 1", "'workgroup= 1'"},
           {"workgroup=16,", "'' is not one of"},
           {",", "'' is not one of"},
           {"groups=16", "'groups=16' is not one of"},
           {"local=4k", "'local=4k': local is bytes"},
           {"local=4KB", "'local=4KB'"},
           {"alloc=18446744073709551616", "'alloc=18446744073709551616'"},
           {"alloc=18014398509481985K", "'alloc=18014398509481985K'"},
           {"alloc=8M;width=1", "'alloc=8M;width=1'"},
           {"align=96", "'align=96': align is bytes, a power of two"},
           {"align=2M", "'align=2M'"},
           {"cached=0", "'cached=0': cached is 1"},
           {"width=1,alloc=1M,width=1", "width is given twice"}};
enum { N_BAD = sizeof bad / sizeof bad[0] };

START_TEST(bad_limits)
{
    cln_device_info *list = (cln_device_info *)&err;
    size_t count = 7;
    setenv("CLNORM_SIMULATE", bad[_i].limits, 1);
    const int rc = cln_device_list(&list, &count, &err);
    unsetenv("CLNORM_SIMULATE");
    ck_assert_int_eq(rc, CLN_ERR_ARGUMENT);
    ck_assert_ptr_null(list);
    ck_assert_uint_eq(count, 0);
    ck_assert_msg(strncmp(err.text, "CLNORM_SIMULATE: ", 17) == 0 && strstr(err.text, bad[_i].say),
                  "\"%s\"", err.text);
}
END_TEST

START_TEST(announced)
{
    cln_device *real = open_as("");
    cln_device *dev = open_as("cached=1,align=4K,width=2,alloc=8M,local=4096,workgroup=16");
    ck_assert_str_eq(dev->info.simulated,
                     "workgroup=16,local=4096,alloc=8388608,width=2,align=4096,cached=1");
    ck_assert(dev->info.local_is_global);
    ck_assert_str_eq(dev->info.model, real->info.model);
    ck_assert_str_eq(real->info.name, real->info.model);
    ck_assert_str_eq(real->info.simulated, "");
    ck_assert_int_eq(strncmp(dev->info.name, real->info.name, strlen(real->info.name)), 0);
    ck_assert_ptr_nonnull(strstr(cln_device_name(dev), " (simulated: workgroup=16,"));
    ck_assert_uint_eq(dev->info.max_local_size, 16);
    ck_assert_uint_eq(dev->info.max_items[2], 16);
    ck_assert_uint_eq(dev->info.local_mem, 4096);
    ck_assert_uint_eq(dev->info.max_alloc, 8 << 20);
    ck_assert_uint_eq(dev->info.vector_width, 2);
    ck_assert_uint_eq(dev->info.base_align, 4096);
    cln_device_close(dev);

    dev = open_as("workgroup=1G,local=1024G,alloc=1073741824G,align=1"); /* no more than there is */
    ck_assert_uint_eq(dev->info.max_local_size, real->info.max_local_size);
    ck_assert_uint_eq(dev->info.local_mem, real->info.local_mem);
    ck_assert_uint_eq(dev->info.max_alloc, real->info.max_alloc);
    ck_assert_uint_eq(dev->info.base_align, real->info.base_align);
    ck_assert_uint_eq(dev->info.vector_width, real->info.vector_width);
    cln_device_close(dev);
    cln_device_close(real);
}
END_TEST

/* ---- what is refused -------------------------------------------------------------------------- */

static int launch(cln_kernel *k, cln_tensor y, size_t local)
{
    return cln_run(k, cln_range1(64, local), &err, CLN_MEM(y), CLN_UINT(1));
}

/* Launches are made to fit; one that is not is refused. */
START_TEST(refused_launches)
{
    cln_device *dev = open_as("workgroup=16,local=4K");
    cln_kernel k = {0};
    cln_tensor y = {0};
    ck_assert_int_eq(cln_tensor_new(dev, 64 * sizeof(uint32_t), "the test", &y, &err), 0);
    ck_assert_int_eq(cln_kernel_new(dev, "doctor.cl", "doctor_local", "-D WORDS=1024", &k, &err),
                     0);
    ck_assert_uint_eq(k.max_local, 16);
    ck_assert_msg(launch(&k, y, 64) == 0, "%s", err.text);
    k.max_local = 32;
    dev->info.max_items[0] = 32;
    ck_assert_int_eq(launch(&k, y, 32), CLN_ERR_CL);
    ck_assert_ptr_nonnull(strstr(
        err.text, "kernel doctor_local: clEnqueueNDRangeKernel: CL_INVALID_WORK_GROUP_SIZE (-54)"));
    cln_kernel_free(&k);

    ck_assert_int_eq(cln_kernel_new(dev, "doctor.cl", "doctor_local", "-D WORDS=1025", &k, &err),
                     0);
    ck_assert_int_eq(launch(&k, y, 1), CLN_ERR_CL);
    ck_assert_ptr_nonnull(strstr(err.text, "CL_OUT_OF_RESOURCES (-5)"));
    cln_kernel_free(&k);
    cln_tensor_free(&y);

    const size_t wide[3] = {1, 17, 1};
    ck_assert_int_eq(cln_simulate_launch(&dev->info, wide, 0), CL_INVALID_WORK_ITEM_SIZE);
    dev->info.simulated[0] = '\0';
    ck_assert_int_eq(cln_simulate_launch(&dev->info, wide, 1 << 20), CL_SUCCESS);
    cln_device_close(dev);
}
END_TEST

START_TEST(refused_buffers)
{
    cln_device *dev = open_as("alloc=1M,align=4096");
    cln_tensor t = {0}, view = {0};
    ck_assert_int_eq(cln_tensor_new(dev, (1 << 20) + 1, "weights", &t, &err),
                     CLN_ERR_DEVICE_MEMORY);
    ck_assert_ptr_nonnull(strstr(err.text, "allows 1.0 MiB"));
    ck_assert_int_eq(cln_tensor_new(dev, 1 << 20, "weights", &t, &err), 0);
    ck_assert_int_eq(cln_tensor_view(dev, t, 2048, 64, &view, &err), CLN_ERR_CL);
    ck_assert_ptr_nonnull(
        strstr(err.text, "clCreateSubBuffer: CL_MISALIGNED_SUB_BUFFER_OFFSET (-13)"));
    ck_assert_ptr_null(view.mem);
    ck_assert_int_eq(cln_tensor_view(dev, t, 8192, 64, &view, &err), 0);
    cln_tensor_free(&view);
    cln_tensor_free(&t);
    cln_device_close(dev);
}
END_TEST

/* ---- what must work all the same -------------------------------------------------------------- */

static const char *const settings[] = {
    "workgroup=1,local=1024,alloc=1M,width=1,align=4096",
    "workgroup=24,local=4096,alloc=4M,width=4,align=1024",
};
enum { N_SETTINGS = sizeof settings / sizeof settings[0] };

/* Every layer and stage by the kernels that the device is given, loss, optimisers, and whole networks, against the
 * references. */
START_TEST(layers)
{
    static const char text[] =
        "conv 16 k=3\n$norm\nrelu\nmaxpool 2\np: conv 16 k=3\n$norm\nrelu\nadd p\n"
        "conv 32 k=1\n$norm\nrelu\ngap\nconv $classes k=1 bias=1\n";
    const cln_tune_request automatic = {CLN_CLASS_AUTO, -1};
    cln_device *dev = open_as(settings[_i]);
    const cln_class cls = cln_tune_class(&dev->info, &automatic);
    cln_verdict v = {0};
    ck_assert_int_eq(cls, dev->info.vector_width < 4 ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR);
    for (const cln_case *c = cln_cases; c->line; c++)
        if (c->doctor)
            cln_case_check(dev, c, &automatic, false, &v);
    cln_stage_check_set(dev, CLN_STAGE_DOCTOR, NULL, cls, &v);
    cln_loss_check(dev, 30, 0.1, 64, &v);
    cln_optim_check(dev, "gap\nbn\ndense 7\n", CLN_OPTIMIZER_ADAMW, false, &automatic, &v);
    for (int fuse = 0; fuse < 2; fuse++)
        for (int n = 0; n < 2; n++)
            cln_network_check(dev, text, n ? "gn" : "bn", 10, (cln_shape){4, 8, 8, 3},
                              &(cln_plan_options){automatic, fuse, true, false}, &v);
    printf("%s: %d cases, worst %.1e of %.1e allowed\n", dev->info.simulated, v.cases, v.error,
           v.allowed);
    ck_assert_int_gt(v.cases, 40);
    ck_assert_msg(v.failures == 0, "%d failures; the first: %s", v.failures, v.first);
    cln_device_close(dev);
}
END_TEST

/* Ten steps of s8 against PyTorch's. */
START_TEST(training)
{
    char sha[CLN_SHA256_HEX] = "";
    cln_device *dev = open_as(settings[_i]);
    cln_verdict v = {0};
    cln_trajectory_follow(dev, "s8", "gn",
                          &(cln_plan_options){{CLN_CLASS_AUTO, -1}, true, false, false},
                          CLN_TRAJECTORY_STEPS, sha, &v);
    ck_assert_int_gt(v.cases, 0);
    ck_assert_msg(v.failures == 0, "%d failures; the first: %s", v.failures, v.first);
    ck_assert_uint_eq(strlen(sha), 64);
    cln_device_close(dev);
}
END_TEST

/* A device too small for CLBlast is not given its kernels, not even where they are asked for. */
START_TEST(no_gemm)
{
    static const cln_conv_shape shape = {8, 8, 16, 16, 8, 8, 3, 1, 1, false, false};
    const cln_tune_request gemm = {CLN_CLASS_AUTO, CLN_CONV_GEMM};
    cln_device *dev = open_as("workgroup=128");
    ck_assert_int_ne(cln_conv_choose(&dev->info, &gemm, NULL, &shape, CLN_CONV_FWD), CLN_CONV_GEMM);
    cln_device_close(dev);
    dev = open_as("local=8K");
    ck_assert_int_ne(cln_conv_choose(&dev->info, &gemm, NULL, &shape, CLN_CONV_FWD), CLN_CONV_GEMM);
    cln_device_close(dev);
    dev = open_as("workgroup=256,local=16K");
    ck_assert_int_eq(cln_conv_choose(&dev->info, &gemm, NULL, &shape, CLN_CONV_FWD), CLN_CONV_GEMM);
    cln_device_close(dev);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("simulate");
    TCase *t = tcase_create("limits");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, bad_limits, 0, N_BAD);
    tcase_add_test(t, announced);
    tcase_add_test(t, refused_launches);
    tcase_add_test(t, refused_buffers);
    tcase_add_test(t, no_gemm);
    tcase_add_loop_test(t, layers, 0, N_SETTINGS);
    tcase_add_loop_test(t, training, 0, N_SETTINGS);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
