/* The folder of a run: who may write, what is kept, what a failure leaves. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/scratch.h"
#include "json.h"
#include "run.h"

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static cln_error err;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    scratch_new();
}

static void failed(int rc, int code, const char *say)
{
    ck_assert_int_eq(rc, code);
    ck_assert_int_eq(err.code, code);
    ck_assert_msg(strstr(err.text, say) != NULL, "'%s' is not in: %s", say, err.text);
}

/* ---- opening a run --------------------------------------------------------------------------- */

static const char *const made[] = {CLN_RUN_CONFIG,  CLN_RUN_METRICS,    CLN_RUN_SUMMARY,
                                   CLN_RUN_MODEL,   CLN_RUN_CHECKPOINT, CLN_RUN_CURVES,
                                   CLN_RUN_MISTAKES};
enum { N_MADE = sizeof made / sizeof made[0] };

static const char *in_run(const char *name)
{
    static char relative[256];
    snprintf(relative, sizeof relative, "run/%s", name);
    return relative;
}

static int open_run(cln_run_mode mode)
{
    cln_run run = {0};
    int rc = cln_run_open(&run, at("run"), mode, &err);

    ck_assert(run.lock.held == (rc == 0));
    cln_run_close(&run);
    cln_run_close(&run);
    return rc;
}

START_TEST(new_run)
{
    cln_run run = {0};
    char path[CLN_PATH_MAX];

    OK(cln_run_open(&run, at("deep/er/run"), CLN_RUN_NEW, &err));
    json_t *config = json_pack("{s:s, s:f, s:[i,i]}", "model", "s8", "lr", 0.1, "list", 1, 2);
    OK(cln_run_begin(&run, config, &err));
    json_decref(config);
    holds_text("deep/er/run/config.json",
          "{\n  \"model\": \"s8\",\n  \"lr\": 0.1,\n  \"list\": [\n    1,\n    2\n  ]\n}\n");
    OK(cln_run_path(&run, CLN_RUN_CURVES, path, &err));
    ck_assert_str_eq(path, at("deep/er/run/curves.png"));
    cln_run_close(&run);
    cln_run_close(NULL);
}
END_TEST

START_TEST(what_is_there)
{
    OK(cln_dir_make(at("run"), &err));
    OK(open_run(CLN_RUN_NEW)); /* an empty folder */
    put_text(in_run("notes.txt"), "mine");
    put_text(in_run(CLN_RUN_CONFIG), "{}");
    OK(open_run(CLN_RUN_NEW)); /* stopped before its first checkpoint */
    OK(open_run(CLN_RUN_RESUME));
    put_text(in_run(CLN_RUN_METRICS), "x\nx\n"); /* it had a checkpoint once */
    failed(open_run(CLN_RUN_RESUME), CLN_ERR_CHECKPOINT, "no checkpoint.safetensors to go on from");

    put_text(in_run(CLN_RUN_METRICS), "x\nx");
    OK(open_run(CLN_RUN_RESUME));
    failed(open_run(CLN_RUN_NEW), CLN_ERR_EXISTS,
           "metrics.jsonl of an earlier run but no checkpoint");
    put_text(in_run(CLN_RUN_CHECKPOINT), "x");
    failed(open_run(CLN_RUN_NEW), CLN_ERR_EXISTS, "an unfinished run: `clnorm train --resume ");
    ck_assert_ptr_nonnull(strstr(err.text, "--overwrite"));
    OK(open_run(CLN_RUN_RESUME));
    OK(open_run(CLN_RUN_OVERWRITE));
    put_text(in_run(CLN_RUN_SUMMARY), "{}");
    failed(open_run(CLN_RUN_NEW), CLN_ERR_EXISTS, "a finished run");
    ck_assert_ptr_nonnull(strstr(err.text, "--overwrite"));
    failed(open_run(CLN_RUN_RESUME), CLN_ERR_EXISTS, "is finished");
    OK(open_run(CLN_RUN_OVERWRITE));

    holds_text(in_run(CLN_RUN_CHECKPOINT), "x"); /* opening removes nothing */
    holds_text(in_run(CLN_RUN_SUMMARY), "{}");
    holds_text(in_run("notes.txt"), "mine");
}
END_TEST

START_TEST(no_run_to_resume)
{
    failed(open_run(CLN_RUN_RESUME), CLN_ERR_CHECKPOINT, "clnorm train --out");
    ck_assert(!cln_file_exists(at("run"))); /* nor was it made */
}
END_TEST

START_TEST(overwrite)
{
    static const char *const foreign[] = {"notes.txt", "model.safetensors.bak", ".config.json.tmp",
                                          "xcurves.png", ".other.json.12-0.tmp"};
    enum { N_FOREIGN = sizeof foreign / sizeof foreign[0] };
    cln_run run = {0};

    OK(cln_dir_make(at("run/sub"), &err));
    for (int i = 0; i < N_MADE; i++)
        put_text(in_run(made[i]), "old");
    for (int i = 0; i < N_FOREIGN; i++)
        put_text(in_run(foreign[i]), "mine");
    put_text(in_run("sub/config.json"), "mine");
    put_text(in_run(".checkpoint.safetensors.4711-0.tmp"), "left by a killed process");
    put_text("elsewhere", "mine");
    ck_assert_int_eq(unlink(at(in_run(CLN_RUN_MODEL))), 0);
    ck_assert_int_eq(symlink(at("elsewhere"), at(in_run(CLN_RUN_MODEL))), 0);

    OK(cln_run_open(&run, at("run"), CLN_RUN_OVERWRITE, &err));
    for (int i = 0; i < N_MADE; i++)
        ck_assert(cln_file_exists(at(in_run(made[i]))));
    json_t *config = json_object();
    OK(cln_run_begin(&run, config, &err));
    json_decref(config);
    cln_run_close(&run);
    for (int i = 0; i < N_MADE; i++)
        ck_assert(cln_file_exists(at(in_run(made[i]))) == (strcmp(made[i], CLN_RUN_CONFIG) == 0));
    holds_text(in_run(CLN_RUN_CONFIG), "{}\n");
    for (int i = 0; i < N_FOREIGN; i++)
        holds_text(in_run(foreign[i]), "mine");
    holds_text(in_run("sub/config.json"), "mine");
    holds_text("elsewhere", "mine");
    ck_assert(!cln_file_exists(at(in_run(".checkpoint.safetensors.4711-0.tmp"))));
}
END_TEST

START_TEST(unwritable)
{
    cln_run run = {0};

    put_text("file", "mine"); /* a path below a file: root may not write there either */
    failed(cln_run_open(&run, at("file/run"), CLN_RUN_NEW, &err), CLN_ERR_IO,
           "file: Not a directory");
    failed(cln_run_open(&run, at("file"), CLN_RUN_NEW, &err), CLN_ERR_IO, "choose another folder");
    ck_assert(!run.lock.held);
    holds_text("file", "mine");
    if (geteuid() == 0)
        return;
    OK(cln_dir_make(at("locked"), &err));
    ck_assert_int_eq(chmod(at("locked"), 0555), 0);
    failed(cln_run_open(&run, at("locked"), CLN_RUN_NEW, &err), CLN_ERR_IO,
           "folder that you may write");
    failed(cln_run_open(&run, at("locked/run"), CLN_RUN_NEW, &err), CLN_ERR_IO,
           "folder that you may write");
}
END_TEST

START_TEST(full_disk)
{
    static char big[100000];
    cln_run run = {0};

    OK(cln_run_open(&run, at("run"), CLN_RUN_NEW, &err));
    OK(cln_file_write_atomic(at(in_run(CLN_RUN_CONFIG)), "{}", 2, &err));
    memset(big, 'x', sizeof big - 1);
    json_t *config = json_pack("{s:s}", "big", big);
    limit_files(50000);
    int rc = cln_run_write_json(&run, CLN_RUN_CONFIG, config, &err);
    limit_files(RLIM_INFINITY);
    json_decref(config);
    failed(rc, CLN_ERR_IO, "config.json");
    holds_text(in_run(CLN_RUN_CONFIG), "{}");
    cln_run_close(&run);
}
END_TEST

/* ---- the lock -------------------------------------------------------------------------------- */

START_TEST(lock_of_another_process)
{
    int ready[2], release[2];
    char byte = 0, pid_text[32];

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(release), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        cln_run held = {0};
        int rc = cln_run_open(&held, at("run"), CLN_RUN_NEW, &err);
        close(release[1]);
        _exit(rc != 0 || write(ready[1], "r", 1) != 1 || read(release[0], &byte, 1) != 1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);

    snprintf(pid_text, sizeof pid_text, "(pid %ld)", (long)child);
    failed(open_run(CLN_RUN_NEW), CLN_ERR_BUSY, pid_text);
    ck_assert_ptr_nonnull(strstr(err.text, "another process"));
    ck_assert_ptr_nonnull(strstr(err.text, at("run")));
    failed(open_run(CLN_RUN_OVERWRITE), CLN_ERR_BUSY, pid_text);
    put_text(in_run(CLN_RUN_CONFIG), "{}");
    put_text(in_run(CLN_RUN_CHECKPOINT), "x");
    failed(open_run(CLN_RUN_RESUME), CLN_ERR_BUSY, pid_text);

    /* a killed process holds nothing */
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    OK(open_run(CLN_RUN_RESUME));
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(release[i]);
    }
}
END_TEST

START_TEST(lock_in_one_process)
{
    cln_run run = {0};
    char pid_text[32];

    OK(cln_run_open(&run, at("run"), CLN_RUN_NEW, &err));
    snprintf(pid_text, sizeof pid_text, "(pid %ld)", (long)getpid());
    failed(open_run(CLN_RUN_NEW), CLN_ERR_BUSY, pid_text);
    put_text(in_run(".lock"), "no number"); /* the message does without */
    failed(open_run(CLN_RUN_NEW), CLN_ERR_BUSY, "another process is training");
    cln_run_close(&run);
    OK(open_run(CLN_RUN_NEW));
}
END_TEST

/* ---- metrics --------------------------------------------------------------------------------- */

static const cln_metrics sample[] = {
    {1, 0.1, 1.5, 40.02, 1.25, 50.5, 4500.04, 11.00049, NAN},
    {2, 0.0625, 1.0 / 3, 70.94, NAN, 80.31, 4000, 12.5, 81.25},
    {3, 5e-7, INFINITY, 70, 0.5, 79, 5000, 13, NAN},
};
static const char *const lines[] = {
    "{\"epoch\": 1, \"lr\": 0.1, \"train_loss\": 1.5, \"train_acc\": 40.02, \"test_loss\": 1.25, "
    "\"test_acc\": 50.5, \"images_per_second\": 4500.0, \"seconds\": 11.0}\n",
    "{\"epoch\": 2, \"lr\": 0.0625, \"train_loss\": 0.333333333333333, \"train_acc\": 70.94, "
    "\"test_loss\": null, "
    "\"test_acc\": 80.31, \"images_per_second\": 4000.0, \"seconds\": 12.5, \"test_acc_flip\": 81.25}\n",
    "{\"epoch\": 3, \"lr\": 5e-7, \"train_loss\": null, \"train_acc\": 70.0, \"test_loss\": 0.5, "
    "\"test_acc\": 79.0, \"images_per_second\": 5000.0, \"seconds\": 13.0}\n",
};

static void open_with_metrics(cln_run *run)
{
    OK(cln_run_open(run, at("run"), CLN_RUN_NEW, &err));
    for (int i = 0; i < 3; i++)
        OK(cln_run_add_metrics(run, &sample[i], &err));
}

static void holds_lines(int n, const char *tail)
{
    char text[2048];
    snprintf(text, sizeof text, "%s%s%s%s", n > 0 ? lines[0] : "", n > 1 ? lines[1] : "",
             n > 2 ? lines[2] : "", tail);
    holds_text(in_run(CLN_RUN_METRICS), text);
}

START_TEST(metrics_round_trip)
{
    cln_run run = {0};
    cln_metrics *m = NULL;
    int n = 0;

    open_with_metrics(&run);
    holds_lines(3, "");
    OK(cln_metrics_read(at(in_run(CLN_RUN_METRICS)), &m, &n, &err));
    ck_assert_int_eq(n, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(m[i].epoch, sample[i].epoch);
        ck_assert_double_eq(m[i].lr, sample[i].lr);
        ck_assert_double_eq(m[i].train_acc, sample[i].train_acc);
        ck_assert_double_eq(m[i].test_acc, sample[i].test_acc);
        ck_assert_double_eq_tol(m[i].images_per_second, sample[i].images_per_second, 0.051);
        ck_assert_double_eq_tol(m[i].seconds, sample[i].seconds, 0.00051);
    }
    ck_assert_double_eq_tol(m[1].train_loss, 1.0 / 3, 1e-14);
    ck_assert_double_nan(m[1].test_loss);
    ck_assert_double_nan(m[2].train_loss);
    ck_assert_double_nan(m[0].test_acc_flip);
    ck_assert_double_eq(m[1].test_acc_flip, 81.25);
    free(m);
    cln_run_close(&run);
}
END_TEST

START_TEST(metrics_cut)
{
    cln_run run = {0};
    cln_metrics *m = NULL;
    int n = 0;
    const char *path = at(in_run(CLN_RUN_METRICS));

    open_with_metrics(&run);
    OK(cln_run_cut_metrics(&run, 3, &err));
    holds_lines(3, "");
    OK(cln_run_cut_metrics(&run, 2, &err));
    holds_lines(2, "");
    OK(cln_run_add_metrics(&run, &sample[2], &err)); /* as if never interrupted */
    holds_lines(3, "");

    FILE *f = fopen(path, "ab"); /* killed in the middle of a line */
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f, "{\"epoch\": 4, \"lr\": 0"), 0);
    fclose(f);
    OK(cln_metrics_read(path, &m, &n, &err));
    ck_assert_int_eq(n, 3);
    free(m);
    OK(cln_run_cut_metrics(&run, 9, &err));
    holds_lines(3, "");
    OK(cln_run_cut_metrics(&run, 0, &err));
    holds_lines(0, "");
    OK(cln_metrics_read(path, &m, &n, &err));
    ck_assert_int_eq(n, 0);
    free(m);
    ck_assert_int_eq(unlink(path), 0);
    OK(cln_run_cut_metrics(&run, 1, &err)); /* none yet */
    failed(cln_metrics_read(path, &m, &n, &err), CLN_ERR_IO, "metrics.jsonl");
    cln_run_close(&run);
}
END_TEST

START_TEST(metrics_damaged)
{
    static const char *const bad[] = {
        "", "{}", "[1]", "x", "{\"epoch\": 0}", "{\"epoch\": 4, \"lr\": 0.1}"};
    cln_run run = {0};
    cln_metrics *m = NULL;
    int n = 0;
    char text[2048];

    open_with_metrics(&run);
    snprintf(text, sizeof text, "%s%s\n%s", lines[0], bad[_i], lines[1]);
    put_text(in_run(CLN_RUN_METRICS), text);
    failed(cln_run_cut_metrics(&run, 1, &err), CLN_ERR_DATA,
           "metrics.jsonl:2: not a line of metrics");
    holds_text(in_run(CLN_RUN_METRICS), text);
    failed(cln_metrics_read(at(in_run(CLN_RUN_METRICS)), &m, &n, &err), CLN_ERR_DATA,
           "metrics.jsonl:2:");
    ck_assert_ptr_null(m);
    cln_run_close(&run);
}
END_TEST

/* JSON whose values would take many times the memory of its text is not parsed at all. */
START_TEST(too_many_values)
{
    static char line[6000];
    cln_metrics *m = NULL;
    json_error_t fault;
    bool no_memory = true;
    int n = 0;
    const size_t lists = CLN_JSON_MAX_LISTS, size = 3 * lists + 3;
    char *text = malloc(size + 1);
    ck_assert_ptr_nonnull(text);
    text[0] = '[';
    for (size_t i = 0; i < lists; i++)
        memcpy(text + 1 + 3 * i, i + 1 < lists ? "[]," : "[]]", 4);
    ck_assert_ptr_null(cln_json_load(text, strlen(text), 0, &fault, &no_memory));
    ck_assert(!no_memory);
    ck_assert_ptr_nonnull(strstr(fault.text, "more than 262144 lists and objects"));
    json_t *value =
        cln_json_load(memcpy(text + 3, "[", 1), strlen(text + 3), 0, &fault, &no_memory);
    ck_assert_msg(value != NULL, "%s", fault.text); /* one less */
    json_decref(value);
    free(text);

    memset(line, ' ', sizeof line - 1);
    line[sizeof line - 2] = '\n';
    put_text("long", line);
    failed(cln_metrics_read(at("long"), &m, &n, &err), CLN_ERR_DATA,
           "long:1: a line of 5998 bytes");
    ck_assert_ptr_null(m);
}
END_TEST

START_TEST(summary)
{
    cln_run run = {0};
    cln_summary s = {.model = "s8 \xff",
                     .norm = "ln",
                     .device = "PoCL",
                     .weights_sha256 = "abcd",
                     .params = 46074,
                     .seed = 1};

    cln_summary_of_metrics(&s, sample, 2);
    ck_assert_double_eq_tol(s.images_per_second, (4500.04 + 4000) / 2,
                            1e-9); /* an even number: the mean of two */
    cln_summary_of_metrics(&s, sample, 3);
    ck_assert_double_eq_tol(s.seconds, 36.50049, 1e-9);
    OK(cln_run_open(&run, at("run"), CLN_RUN_NEW, &err));
    OK(cln_run_write_summary(&run, &s, &err));
    cln_run_close(&run);
    holds_text(in_run(CLN_RUN_SUMMARY),
          "{\n  \"model\": \"s8 ?\",\n  \"norm\": \"ln\",\n  \"params\": 46074,\n"
          "  \"epochs\": 3,\n  \"train_acc\": 70.0,\n  \"test_acc\": 79.0,\n"
          "  \"best_test_acc\": 80.31,\n  \"best_epoch\": 2,\n"
          "  \"images_per_second\": 4500.0,\n  \"seconds\": 36.5,\n"
          "  \"device\": \"PoCL\",\n  \"seed\": 1,\n  \"weights_sha256\": \"abcd\"\n}\n");
    failed(open_run(CLN_RUN_NEW), CLN_ERR_EXISTS, "a finished run");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("run");
    TCase *t = tcase_create("run");
    tcase_add_checked_fixture(t, setup, scratch_remove);
    tcase_add_test(t, new_run);
    tcase_add_test(t, what_is_there);
    tcase_add_test(t, no_run_to_resume);
    tcase_add_test(t, overwrite);
    tcase_add_test(t, unwritable);
    tcase_add_test(t, full_disk);
    tcase_add_test(t, lock_of_another_process);
    tcase_add_test(t, lock_in_one_process);
    tcase_add_test(t, metrics_round_trip);
    tcase_add_test(t, metrics_cut);
    tcase_add_loop_test(t, metrics_damaged, 0, 6);
    tcase_add_test(t, too_many_values);
    tcase_add_test(t, summary);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
