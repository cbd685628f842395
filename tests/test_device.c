/* Choice of a device from a made-up list; opening and probing of the real ones; error texts. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

static const cln_device_info made_up[] = {
    {.index = 0,
     .platform = 0,
     .number = 0,
     .name = "cpu-haswell-AMD EPYC",
     .type = CL_DEVICE_TYPE_CPU},
    {.index = 1, .platform = 1, .number = 0, .name = "Radeon RX 580", .type = CL_DEVICE_TYPE_GPU},
    {.index = 2,
     .platform = 1,
     .number = 1,
     .name = "Radeon RX 580 Pro",
     .type = CL_DEVICE_TYPE_GPU},
    {.index = 3,
     .platform = 2,
     .number = 0,
     .name = "Simulator",
     .type = CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR},
};
enum { N_MADE_UP = sizeof made_up / sizeof made_up[0] };

static size_t find(const char *spec)
{
    cln_error err = {0};
    size_t index = 99;
    int code = cln_device_find(made_up, N_MADE_UP, spec, &index, &err);
    ck_assert_msg(code == CLN_OK, "%s: %s", spec, err.text);
    return index;
}

static void refused(const char *spec, const char *why)
{
    cln_error err = {0};
    size_t index = 99;
    ck_assert_int_eq(cln_device_find(made_up, N_MADE_UP, spec, &index, &err), CLN_ERR_DEVICE);
    ck_assert_int_eq(err.code, CLN_ERR_DEVICE);
    ck_assert_uint_eq(index, 99);
    ck_assert_ptr_nonnull(strstr(err.text, why));
    ck_assert_ptr_nonnull(strstr(err.text, spec));
    for (int i = 0; i < N_MADE_UP; i++) /* the choices are listed */
        ck_assert_ptr_nonnull(strstr(err.text, made_up[i].name));
    ck_assert_ptr_nonnull(strstr(err.text, "2 (1:1) gpu"));
    ck_assert_ptr_null(strchr(err.text, '\n'));
}

START_TEST(find_by_index)
{
    ck_assert_uint_eq(find("0"), 0);
    ck_assert_uint_eq(find("3"), 3);
    refused("4", "there is no device");
    refused("99999999999999999999", "no device matches");
}
END_TEST

START_TEST(find_by_platform_and_number)
{
    ck_assert_uint_eq(find("0:0"), 0);
    ck_assert_uint_eq(find("1:1"), 2);
    ck_assert_uint_eq(find("2:0"), 3);
    refused("0:1", "there is no device");
    refused("1:", "no device matches");
    refused("1:1x", "no device matches");
}
END_TEST

START_TEST(find_by_type)
{
    ck_assert_uint_eq(find("cpu"), 0); /* the one that is only a CPU */
    ck_assert_uint_eq(find("CPU"), 0);
    ck_assert_uint_eq(find("accelerator"), 3); /* the only one that claims to be one */
    refused("gpu", "several devices match");
}
END_TEST

START_TEST(find_by_name)
{
    ck_assert_uint_eq(find("epyc"), 0);
    ck_assert_uint_eq(find("simul"), 3);
    ck_assert_uint_eq(find("radeon rx 580 PRO"), 2);
    ck_assert_uint_eq(find("radeon rx 580"), 1); /* a whole name beats a part of another */
    ck_assert_uint_eq(find("580 p"), 2);
    refused("Radeon", "several devices match");
    refused("GeForce", "no device matches");
    refused("-1", "no device matches");
}
END_TEST

START_TEST(find_default)
{
    unsetenv("CLNORM_DEVICE");
    ck_assert_uint_eq(find(NULL), 0);
    ck_assert_uint_eq(find(""), 0);
    setenv("CLNORM_DEVICE", "1:1", 1);
    ck_assert_uint_eq(find(NULL), 2);
    ck_assert_uint_eq(find(""), 2);
    ck_assert_uint_eq(find("0"), 0); /* what is asked for wins */
    setenv("CLNORM_DEVICE", "", 1);
    ck_assert_uint_eq(find(NULL), 0);
}
END_TEST

START_TEST(list_is_consistent)
{
    cln_error err = {0};
    cln_device_info *list = NULL;
    size_t count = 0;
    ck_assert_msg(cln_device_list(&list, &count, &err) == CLN_OK, "%s", err.text);
    ck_assert_uint_ge(count, 1);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(list[i].index, (int)i);
        ck_assert_uint_gt(strlen(list[i].name), 0);
        ck_assert_uint_gt(strlen(list[i].driver), 0);
        ck_assert_int_eq(strncmp(list[i].version, "OpenCL ", 7), 0);
        ck_assert_uint_ge(list[i].vector_width, 1);
        ck_assert_uint_ge(list[i].compute_units, 1);
        ck_assert_uint_ge(list[i].max_local_size, 1);
        ck_assert_uint_ge(list[i].max_items[0], 1);
        ck_assert_uint_ge(list[i].base_align, 1);
        ck_assert(list[i].max_alloc > 0 && list[i].max_alloc <= list[i].global_mem);
    }
    free(list);
}
END_TEST

START_TEST(open_and_probe)
{
    cln_error err = {0};
    cln_device *dev = NULL;
    ck_assert_msg(cln_device_open(NULL, false, &dev, &err) == CLN_OK, "%s", err.text);
    ck_assert_msg(cln_device_probe(dev, &err) == CLN_OK, "%s\n%s", err.text, err.log);
    ck_assert_int_eq(cln_device_finish(dev, &err), CLN_OK);
    cln_device_close(dev);
    cln_device_close(NULL);
}
END_TEST

START_TEST(open_unknown)
{
    cln_error err = {0};
    cln_device *dev = (cln_device *)&err;
    ck_assert_int_eq(cln_device_open("no such thing", false, &dev, &err), CLN_ERR_DEVICE);
    ck_assert_ptr_null(dev);
    ck_assert_ptr_nonnull(strstr(err.text, "choose one of: 0 (0:0)"));
}
END_TEST

/* A process that sees no driver at all must say which packages to install. The loader reads the
 * variable once, so that this has to be a process of its own: Check forks one for each test. */
START_TEST(no_platform)
{
    cln_error err = {0};
    cln_device *dev = NULL;
    setenv("OCL_ICD_VENDORS", CLNORM_BINARY_DIR "/no-such-folder/", 1);
    ck_assert_int_eq(cln_device_open(NULL, false, &dev, &err), CLN_ERR_DEVICE);
    ck_assert_ptr_null(dev);
    ck_assert_ptr_nonnull(strstr(err.text, "pocl-opencl-icd"));
}
END_TEST

START_TEST(error_texts)
{
    cln_error err = {0};
    ck_assert_str_eq(cln_error_name(0), "ok");
    ck_assert_str_eq(cln_error_name(CLN_ERR_BUILD), "a kernel did not compile");
    ck_assert_str_eq(cln_error_name(-999), "unknown error");
    ck_assert_str_eq(cln_cl_status_name(-54), "CL_INVALID_WORK_GROUP_SIZE");
    ck_assert_str_eq(cln_cl_status_name(-12345), "unknown OpenCL status");

    ck_assert_int_eq(CLN_FAIL_CL(&err, -5, "clCreateBuffer"), CLN_ERR_CL);
    ck_assert_str_eq(err.text, "clCreateBuffer: CL_OUT_OF_RESOURCES (-5); try a smaller batch, or "
                               "another device (clnorm devices)");
    ck_assert_int_eq(strncmp(err.where, "test_device.c:", 14), 0);
    ck_assert_int_eq(CLN_FAIL_CL(&err, -4, "clEnqueueCopyBuffer"), CLN_ERR_DEVICE_MEMORY);

    ck_assert_int_eq(CLN_FAIL(&err, CLN_ERR_DATA, "two\nlines\n"), CLN_ERR_DATA);
    ck_assert_str_eq(err.text, "two lines");
    CLN_FAIL(&err, err.code, "file 7: %s", err.text); /* context around the text itself */
    ck_assert_str_eq(err.text, "file 7: two lines");
    ck_assert_int_eq(CLN_FAIL(NULL, CLN_ERR_IO, "nobody asks"), CLN_ERR_IO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device");
    TCase *t = tcase_create("device");
    tcase_add_test(t, find_by_index);
    tcase_add_test(t, find_by_platform_and_number);
    tcase_add_test(t, find_by_type);
    tcase_add_test(t, find_by_name);
    tcase_add_test(t, find_default);
    tcase_add_test(t, list_is_consistent);
    tcase_add_test(t, open_and_probe);
    tcase_add_test(t, open_unknown);
    tcase_add_test(t, error_texts);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    if (srunner_fork_status(r) == CK_FORK)
        tcase_add_test(t, no_platform);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
