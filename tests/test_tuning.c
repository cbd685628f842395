/* Tables of choices: their text, a device's in the cache folder, and a plan's. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/on_device.h"
#include "common/scratch.h"
#include "file.h"
#include "ops/conv.h"
#include "program.h"
#include "tuning.h"

static char told[2048];

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void notice(void *arg, const char *text)
{
    (void)arg;
    snprintf(told, sizeof told, "%s", text);
}

static void open_device(void)
{
    OK(cln_device_open(NULL, false, &dev, &err));
    cln_device_set_notice(dev, notice, NULL);
}

static void close_device(void)
{
    cln_device_close(dev);
}

/* ---- text ---------------------------------------------------------------------------------------- */

START_TEST(what_is_printed_is_read)
{
    static const char *const lines[] = {
        "vector fwd 16->32,3x3/1,32x32 winograd", "vector fwd 16->32,3x3/1,32x32,pad=0 simt", "* fwd 16->32,1x1/1,32x32,pad=1 simt", "simt bwd_params 100000->10,1x1/2,1x1 gemm",
        "* * 500000 simt",                        "vector micro =5631360 32",
        "* micro 0 batch",                        "local * 1000 tile",                        "simt bwd_data inf gemm"};
    for (size_t i = 0; i < COUNT(lines); i++) {
        cln_tune_line t;
        char text[CLN_TUNE_LINE_TEXT];
        ck_assert_msg(cln_tune_parse(lines[i], strlen(lines[i]), &t) == 1, "%s", lines[i]);
        cln_tune_print(&t, text);
        ck_assert_str_eq(text, lines[i]);
    }
    static const char *const bad[] = {
        "vector fwd 16->32,3x5/1,32x32 simt", "vector fwd 16->32,3x3/1,32x32x3 simt", "vector fwd 0->32,3x3/1,32x32 simt",
        "vector fwd 16->32,3x3/1,32x simt",   "vector fwd -1->32,3x3/1,32x32 simt",   "vector fwd =5 simt",
        "vector micro 0 0",                   "vector micro 0 65537",                 "vector micro 0 winograd",
        "vector micro 16->32,3x3/1,32x32 32", "vector fwd 99999999999->1,3x3/1,1x1 simt",
        "vector fwd 1->1,3x3/1,8x8,pad= simt", "vector fwd 1->1,3x3/1,8x8,pad=1x simt", "vector fwd 1->1,3x3/1,8x8,pad=-1 simt",
        "vector fwd 1->1,3x3/1,8x8, simt"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        cln_tune_line t;
        ck_assert_msg(cln_tune_parse(bad[i], strlen(bad[i]), &t) == -1, "%s", bad[i]);
    }
}
END_TEST

START_TEST(lines_are_put_before_the_others)
{
    static const char text[] = "# a comment\n\nvector fwd 1->1,3x3/1,8x8 simt\nvector fwd 2->2,3x3/1,8x8 gemm";
    cln_tuning *t = NULL;
    cln_tune_line line;
    char longer[400] = "";
    memset(longer, '#', 300); /* the name of a device may stand there */
    strcpy(longer + 300, "\n* * 0 simt\n");
    OK(cln_tuning_parse(longer, strlen(longer), &t, &err));
    ck_assert_int_eq(t->n, 1);
    cln_tuning_free(t);
    OK(cln_tuning_parse(text, sizeof text - 1, &t, &err));
    ck_assert_int_eq(t->n, 2);
    ck_assert_int_eq(cln_tune_parse("vector fwd 2->2,3x3/1,8x8 vector", 32, &line), 1);
    OK(cln_tuning_put(t, &line, &err));
    ck_assert_int_eq(cln_tune_parse("* * 0 winograd", 14, &line), 1);
    OK(cln_tuning_put(t, &line, &err));
    char *now = cln_tuning_text(t);
    ck_assert_str_eq(now, "* * 0 winograd\nvector fwd 1->1,3x3/1,8x8 simt\nvector fwd 2->2,3x3/1,8x8 vector\n");
    free(now);
    cln_tuning_free(t);
    t = NULL;
    ck_assert_int_eq(cln_tuning_parse("* * 0 simt\n* * 0 none\n", 22, &t, &err), CLN_ERR_DATA);
    ck_assert_ptr_null(t);
    ck_assert_ptr_nonnull(strstr(err.text, "line 2"));
}
END_TEST

/* ---- choices ------------------------------------------------------------------------------------- */

static cln_net *new_net(int images)
{
    const cln_shape in = {images, 32, 32, 3};
    cln_net *net = NULL;
    OK(cln_net_load("s8", "ln", 0, 10, in, &net, &err));
    return net;
}

static char *plan_of(const cln_net *net)
{
    const cln_plan_options options = {{CLN_CLASS_AUTO, -1}, true, false, false};
    cln_plan *plan = NULL;
    OK(cln_plan_new(dev, net, &options, &plan, &err));
    char *text = cln_plan_describe(plan);
    ck_assert_ptr_nonnull(text);
    cln_plan_free(plan);
    return text;
}

/* A table of one choice changes that layer and no other; and the table of that plan makes it again, whatever else the
 * device's own says by then. */
START_TEST(a_plan_keeps_its_choices)
{
    static const char one[] = "* fwd 16->32,3x3/1,16x16 simt\n* micro =%.0f 7\n", other[] = "* * 0 simt\n";
    const cln_plan_options options = {{CLN_CLASS_AUTO, -1}, true, false, false};
    const cln_tune_request automatic = {CLN_CLASS_AUTO, -1};
    cln_net *net = new_net(4);
    char text[128];
    cln_tuning *t = NULL, *of_plan = NULL;
    cln_plan *plan = NULL;
    const double macs = cln_net_macs(net);
    ck_assert(macs > 4e6 && macs < 2e7);
    char *plain = plan_of(net);
    snprintf(text, sizeof text, one, macs);
    OK(cln_tuning_parse(text, strlen(text), &t, &err));
    cln_tuning_use(dev, t);
    ck_assert_int_eq(cln_tune_micro(dev, &automatic, macs, 128), 7);
    ck_assert_int_eq(cln_tune_micro(dev, &automatic, macs, 5), 5);
    ck_assert_int_ne(cln_tune_micro(dev, &automatic, macs + 1, 128), 7);
    char *tuned = plan_of(net);
    ck_assert_str_ne(plain, tuned);
    ck_assert_ptr_nonnull(strstr(tuned, "fwd=simt"));

    OK(cln_plan_new(dev, net, &options, &plan, &err));
    OK(cln_tuning_of_plan(plan, &of_plan, &err));
    cln_plan_free(plan);
    OK(cln_tuning_parse(other, sizeof other - 1, &t, &err));
    cln_tuning_use(dev, t);
    char *simple = plan_of(net);
    ck_assert_str_ne(simple, tuned);
    cln_tuning_use(dev, of_plan);
    ck_assert_int_eq(cln_tune_micro(dev, &automatic, macs, 128), 4);
    char *again = plan_of(net);
    ck_assert_str_eq(again, tuned);
    free(plain);
    free(tuned);
    free(simple);
    free(again);
    cln_net_free(net);
}
END_TEST

/* Two convolutions that differ in padding alone, one large enough for an algorithm of its own and one not. */
START_TEST(padding_tells_shapes_apart)
{
    static const char both[] = "conv 8 k=3\nconv 8 k=3 pad=0\ngap\ndense 10\n";
    const cln_shape in = {2, 3, 3, 8};
    const cln_plan_options options = {{CLN_CLASS_VECTOR, -1}, true, false, false};
    cln_net *net = NULL;
    cln_plan *plan = NULL;
    cln_tuning *of_plan = NULL;
    OK(cln_net_parse("t.net", both, "none", 0, 10, in, &net, &err));
    OK(cln_plan_new(dev, net, &options, &plan, &err));
    char *first = cln_plan_describe(plan);
    ck_assert_int_ne(plan->nodes[0].tune.fwd, plan->nodes[1].tune.fwd);
    OK(cln_tuning_of_plan(plan, &of_plan, &err));
    cln_plan_free(plan);
    cln_tuning_use(dev, of_plan);
    OK(cln_plan_new(dev, net, &options, &plan, &err));
    char *again = cln_plan_describe(plan);
    ck_assert_str_eq(again, first);
    cln_plan_free(plan);
    free(first);
    free(again);
    cln_net_free(net);
}
END_TEST

/* ---- the file ------------------------------------------------------------------------------------ */

static void store(const char *lines)
{
    cln_tuning *t = NULL;
    OK(cln_tuning_parse(lines, strlen(lines), &t, &err));
    OK(cln_tuning_store(dev, t, &err));
    cln_tuning_free(t);
}

/* The table as it is read anew. */
static int lines_read(void)
{
    told[0] = '\0';
    cln_tuning_use(dev, NULL);
    OK(cln_tuning_load(dev, &err));
    return dev->tuning->n;
}

START_TEST(a_damaged_table_is_left_alone)
{
    char path[CLN_PATH_MAX];
    unsigned char *bytes = NULL;
    size_t n = 0;
    scratch_new();
    setenv("CLNORM_CACHE_DIR", at("cache"), 1);
    ck_assert_int_eq(lines_read(), 0);
    ck_assert(!dev->tuning->measured);
    ck_assert_str_eq(told, "");
    store("* * 0 simt\n* fwd 16->32,3x3/1,16x16 gemm\n");
    ck_assert_int_eq(lines_read(), 2);
    ck_assert(dev->tuning->measured);
    ck_assert_str_eq(told, "");
    OK(cln_tuning_path(dev, path, sizeof path, &err));
    OK(cln_file_read_all(path, 1 << 16, &bytes, &n, &err));

    for (size_t cut = 0; cut < n; cut += 7) { /* cut short anywhere */
        OK(cln_file_write_atomic(path, bytes, cut, &err));
        ck_assert_int_eq(lines_read(), 0);
        ck_assert_ptr_nonnull(strstr(told, path));
        ck_assert_ptr_nonnull(strstr(told, "clnorm tune"));
        ck_assert(!dev->tuning->measured);
    }
    bytes[20] ^= 1; /* in the key */
    OK(cln_file_write_atomic(path, bytes, n, &err));
    ck_assert_int_eq(lines_read(), 0);
    ck_assert_ptr_nonnull(strstr(told, "another device"));
    bytes[20] ^= 1;
    unsigned char *simt = (unsigned char *)strstr((char *)bytes, " simt");
    ck_assert_ptr_nonnull(simt);
    simt[1] = 'x';
    OK(cln_file_write_atomic(path, bytes, n, &err));
    ck_assert_int_eq(lines_read(), 0);
    ck_assert_ptr_nonnull(strstr(told, "line 3"));
    free(bytes);
    OK(unlink(path) ? CLN_ERR_IO : CLN_OK);
    ck_assert_int_eq(rmdir(at("cache")), 0); /* nothing else was left there */
    scratch_remove();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tuning");
    TCase *text = tcase_create("text"), *device = tcase_create("device");
    tcase_add_test(text, what_is_printed_is_read);
    tcase_add_test(text, lines_are_put_before_the_others);
    tcase_add_checked_fixture(device, open_device, close_device);
    tcase_add_test(device, a_plan_keeps_its_choices);
    tcase_add_test(device, padding_tells_shapes_apart);
    tcase_add_test(device, a_damaged_table_is_left_alone);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, device);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
