/* Comparisons of runs by hand-made results, documents and what they escape, and the report of all of it. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/picture.h"
#include "common/scratch.h"
#include "report_figures.h"
#include "study_report.h"

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

enum { EPOCHS = 8, CLASSES = 3, SIDE = 4, SEEDS = 3, MAX_RUNS = 40 };

static cln_error err;
static cln_result runs[MAX_RUNS];
static int n_runs, unfinished;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    n_runs = unfinished = 0;
    scratch_new();
}

static void teardown(void)
{
    for (int i = 0; i < n_runs; i++)
        cln_result_clear(&runs[i]);
    scratch_remove();
}

static void make_outcome(cln_outcome *o)
{
    static const char *const names[CLASSES] = {"cat", "dog <b>&\"", "sh|ip"};
    const int confusion[CLASSES * CLASSES] = {30, 5, 0, 9, 21, 0, 0, 1, 34};
    *o = (cln_outcome){.n = 100, .acc = 85, .loss = 0.5, .classes = CLASSES, .c = 3, .h = SIDE, .w = SIDE, .n_mistakes = 1};
    o->class_names = calloc(CLASSES, sizeof *o->class_names);
    o->confusion = malloc(sizeof confusion);
    memcpy(o->confusion, confusion, sizeof confusion);
    for (int i = 0; i < CLASSES; i++)
        o->class_names[i] = strdup(names[i]);
    o->mistakes[0] = (cln_outcome_mistake){7, 0, 1, 0.75, calloc(3 * SIDE, SIDE)};
}

static cln_result *add(const char *norm, int seed, int batch, int groups, double test)
{
    cln_result *r = &runs[n_runs++];
    ck_assert_int_le(n_runs, MAX_RUNS);
    memset(r, 0, sizeof *r);
    cln_train_defaults(norm, &r->options);
    r->options.seed = (uint32_t)seed;
    r->options.batch = batch;
    r->options.groups = groups;
    r->options.epochs = EPOCHS;
    snprintf(r->dir, sizeof r->dir, "%s-%d-%d-%d", norm, groups, batch, seed);
    strcpy(r->model, "s8");
    strcpy(r->options.model, "s8");
    strcpy(r->data, "cifar10");
    strcpy(r->data_sha256, "0123");
    strcpy(r->device, "a <device> & more");
    strcpy(r->weights_sha256, "abcdef0123456789");
    r->params = 46074;
    r->best_epoch = EPOCHS - 1;
    r->train_acc = test + 1;
    r->test_acc = test;
    r->test_acc_flip = NAN;
    r->best_test_acc = test + 0.1;
    r->images_per_second = 4000;
    r->seconds = 10.0 * EPOCHS;
    r->metrics = calloc(EPOCHS, sizeof *r->metrics);
    r->n_metrics = EPOCHS;
    for (int i = 0; i < EPOCHS; i++)
        r->metrics[i] = (cln_metrics){i + 1, 0.1, 2.3 - 0.1 * i, test - EPOCHS + i, 2.2 - 0.1 * i, test - EPOCHS + 1 + i, 4000, 10, NAN};
    r->has_outcome = true;
    make_outcome(&r->outcome);
    return r;
}

/* BN ahead of LN by 2, 2.2, 1.8; GN as LN but for one run. */
static void three_norms(void)
{
    static const double bn[SEEDS] = {85.0, 85.4, 84.9}, ln[SEEDS] = {83.0, 83.2, 83.1}, gn[SEEDS] = {83.3, 82.9, 83.1};
    for (int i = 0; i < SEEDS; i++) {
        add("bn", i + 1, 128, 0, bn[i]);
        add("ln", i + 1, 128, 0, ln[i]);
        add("gn", i + 1, 128, 4, gn[i]);
    }
}

/* ---- comparisons --------------------------------------------------------------------------------- */

START_TEST(groups_and_pairs)
{
    cln_comparison c;
    three_norms();
    add("bn", 1, 8, 0, 80);
    add("gn", 1, 128, 16, 82);
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    ck_assert_int_eq(c.n_groups, 5);
    ck_assert_int_eq(c.n_base, 3);
    ck_assert_int_eq(c.n_pairs, 3);
    ck_assert_str_eq(c.base[0]->label, "BN");
    ck_assert_str_eq(c.base[2]->label, "GN-4");
    ck_assert_str_eq(c.groups[3].label, "BN, batch 8");
    ck_assert_str_eq(c.groups[4].label, "GN-16");
    ck_assert_double_eq_tol(c.base[0]->test.mean, 85.1, 1e-9);
    /* differences 2, 2.2, 1.8: mean 2, sd 0.2, t = 2 / (0.2 / sqrt 3) = 17.32; two degrees: p = 1 - t / sqrt(2 + t^2) */
    const cln_pair *p = &c.pairs[0];
    ck_assert(p->a == c.base[0] && p->b == c.base[1]);
    ck_assert_double_eq_tol(p->stats.difference.mean, 2, 1e-9);
    ck_assert_double_eq_tol(p->stats.t, 10 * sqrt(3), 1e-6);
    ck_assert_double_eq_tol(p->stats.p, 1 - 10 * sqrt(3) / sqrt(302), 1e-9);
    ck_assert_double_eq_tol(p->p, 3 * fmin(c.pairs[0].stats.p, c.pairs[1].stats.p), 0.02);
    ck_assert(p->p < 0.05 && c.pairs[2].p > 0.05);
    cln_comparison_clear(&c);
}
END_TEST

/* No group at batch 128 and 4 groups at once; two models, each at a batch of its own. */
START_TEST(base_of_each_model)
{
    cln_comparison c;
    add("gn", 1, 128, 8, 85);
    add("gn", 1, 32, 4, 84);
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    ck_assert_int_eq(c.n_base, 1);
    ck_assert_str_eq(c.base[0]->label, "GN-8");
    ck_assert_str_eq(c.groups[1].label, "GN-4, batch 32");
    cln_comparison_clear(&c);
    for (int i = 0; i < 2; i++) {
        cln_result *r = add(i ? "ln" : "bn", 1, 64, 0, 89 - i);
        strcpy(r->model, "other");
        strcpy(r->options.model, "other");
    }
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    ck_assert_int_eq(c.n_base, 3);
    ck_assert_int_eq(c.n_pairs, 1);
    ck_assert(cln_comparison_begins(&c, 0) && cln_comparison_begins(&c, 1) && !cln_comparison_begins(&c, 2));
    ck_assert_str_eq(c.base[1]->label, "other, BN, batch 64");
    cln_comparison_clear(&c);
}
END_TEST

START_TEST(refused_together)
{
    cln_comparison c;
    ck_assert_int_eq(cln_comparison_new(runs, 0, &c, &err), CLN_ERR_ARGUMENT);
    add("bn", 1, 128, 0, 80);
    add("bn", 1, 128, 0, 81);
    ck_assert_int_eq(cln_comparison_new(runs, n_runs, &c, &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "same settings and seed"));
    runs[1].options.seed = 2;
    strcpy(runs[1].data_sha256, "4567");
    ck_assert_int_eq(cln_comparison_new(runs, n_runs, &c, &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "different data"));
    strcpy(runs[1].data_sha256, runs[0].data_sha256);
    runs[1].options.val_split = 100;
    ck_assert_int_eq(cln_comparison_new(runs, n_runs, &c, &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "tested on different images (--val 0 and 100)"));
}
END_TEST

/* The default number of groups by its name and without: one group of runs, and no twins among them. */
START_TEST(default_groups)
{
    cln_comparison c;
    add("gn", 1, 128, 0, 85);
    add("gn", 2, 128, 4, 84);
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    ck_assert_int_eq(c.n_groups, 1);
    ck_assert_int_eq(c.groups[0].n, 2);
    cln_comparison_clear(&c);
    runs[1].options.seed = 1;
    ck_assert_int_eq(cln_comparison_new(runs, n_runs, &c, &err), CLN_ERR_ARGUMENT);
}
END_TEST

/* ---- reports ------------------------------------------------------------------------------------- */

static const cln_report_cost costs[] = {{"bn", 0.05, 0.01, 1.21, 1.1, 1.3}};

static void write_report(void)
{
    const cln_report_options o = {at(""), "report", costs, 1, "bench.json", "2026-11-24", unfinished};
    cln_comparison c;
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    OK(cln_report_write(&c, &o, &err));
    cln_comparison_clear(&c);
}

static void holds(const char *name, const char *text, bool wanted)
{
    blob b = get(name);
    b.bytes = realloc(b.bytes, b.size + 1);
    b.bytes[b.size] = '\0';
    ck_assert_msg((strstr(b.bytes, text) != NULL) == wanted, "%s: '%s' is %s", name, text, wanted ? "not there" : "there");
    free(b.bytes);
}

START_TEST(report_of_three_norms)
{
    three_norms();
    write_report();
    holds("report.md", "**BN is the most accurate: 85.10 ± 0.26 %**", true);
    holds("report.md", "| BN | 3 | **85.10 ± 0.26** | 84.44 … 85.76 | 85.20 ± 0.26 | 86.10 ± 0.26 | 46,074 |", true);
    holds("report.md", "BN is **2.00 points** above LN, and the difference is significant (95 % interval 1.50 … 2.50, p = 0.0", true);
    holds("report.md", "which 3 seeds do not tell from chance", true);
    holds("report.md", "| BN | 70.94 | 75.02 | 86.10 ± 0.26 | 85.10 ± 0.26 | +10.08 |", true);
    holds("report.md", "| BN | 50.00 | 1.210 | 1.100 … 1.300 | 10.00 |", true);
    holds("report.md", "**channels of a sample**", true);
    holds("report.md", "clnorm train --norm bn --model s8 --epochs 8", true);
    holds("report.md", "Accuracy against", false);
    holds("report.md", "a \\<device\\> & more", true);
    holds("report.html", "a &lt;device&gt; &amp; more", true);
    holds("report.html", "<strong>2.00 points</strong>", true);
    holds("report.html", "src=\"http", false);
    holds("report.html", "data:image/png;base64,iVBORw0KGgo", true);
    is_png("report-accuracy.png", 2000, 800);
    is_png("report-loss.png", 2000, 800);
    is_png("report-confusion.png", 2 * (3 * 320 + 8), 2 * 354);
    /* the class that is confused most: dog taken for cat */
    holds("report.md", "BN takes dog \\<b\\>&\" for cat more often than any other class for another: 30.0 % of that class", true);
    ck_assert_int_eq(access(at("report-misclassified-gn.png"), F_OK), 0);
}
END_TEST

/* The command that repeats a run: an optimizer brings rates of its own, and what is as it has them need not be said. */
START_TEST(commands_of_other_optimizers)
{
    three_norms();
    for (int i = 0; i < n_runs; i++) {
        cln_train_use(CLN_OPTIMIZER_SGD, &runs[i].options);
        runs[i].options.lr = 0.04; /* as muon has it, not sgd */
    }
    write_report();
    holds("report.md", "clnorm train --norm bn --model s8 --epochs 8 --optimizer sgd --lr 0.04 --data", true);
    for (int i = 0; i < n_runs; i++)
        cln_train_use(CLN_OPTIMIZER_ADAMW, &runs[i].options);
    write_report();
    holds("report.md", "clnorm train --norm bn --model s8 --epochs 8 --optimizer adamw --data", true);
}
END_TEST

/* A difference of times that runs of one norm show as well is no finding. */
START_TEST(times_that_overlap)
{
    three_norms();
    for (int i = 0; i < n_runs; i++)
        runs[i].seconds += strcmp(runs[i].options.norm, "ln") ? 0 : EPOCHS;
    write_report();
    holds("report.md", "11.00 s with LN, the slowest: 10.0 % more.", true);
    strcpy(runs[0].device, "another");
    write_report();
    holds("report.md", "the slowest", false);
    strcpy(runs[0].device, runs[1].device);
    for (int i = 0; i < n_runs; i++)
        runs[i].seconds *= 1 + 0.2 * runs[i].options.seed;
    write_report();
    holds("report.md", "the slowest: 10.0 % more, but the 95 % intervals of the two overlap", true);
}
END_TEST

START_TEST(times_of_another_part)
{
    cln_comparison c;
    for (int seed = 1; seed <= 3; seed++)
        for (int i = 0; i < 2; i++) {
            cln_result *r = add(i ? "ln" : "bn", seed, 128, 0, 80 + seed);
            r->compute_units = i && seed == 3 ? CLN_UNITS_CHANGED : 1;
            r->seconds = i && seed == 3 ? 5 * EPOCHS : 10 * EPOCHS;
            r->images_per_second = i && seed == 3 ? 8000 : 4000;
        }
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    ck_assert_int_eq(c.compute_units, 1);
    ck_assert(cln_report_one_device(&c));
    ck_assert_int_eq(c.base[0]->n_timed, 3);
    ck_assert_int_eq(c.base[1]->n_timed, 2);
    ck_assert_int_eq(c.base[1]->test.n, 3);
    ck_assert_double_eq(c.base[1]->seconds.mean, 10);
    ck_assert_double_eq(c.base[1]->rate.mean, 4000);
    write_report();
    holds("report.md", "Each run had 1 compute unit of the device", true);
    holds("report.md", "1 run that had another part of it, or not the same all the time, is left out of all times here", true);
    cln_comparison_clear(&c);
    for (int i = 0; i < n_runs; i++)
        if (strcmp(runs[i].options.norm, "ln") == 0)
            runs[i].compute_units = 2;
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    ck_assert(!cln_report_one_device(&c));
    cln_comparison_clear(&c);
    for (int i = 0; i < n_runs; i++)
        runs[i].compute_units = CLN_UNITS_CHANGED;
    OK(cln_comparison_new(runs, n_runs, &c, &err));
    ck_assert(!cln_report_one_device(&c));
    ck_assert_double_gt(c.base[1]->seconds.mean, 5);
    cln_comparison_clear(&c);
}
END_TEST

START_TEST(report_of_sweeps)
{
    three_norms();
    for (int i = 1; i <= SEEDS; i++) {
        add("bn", i, 8, 0, 80 + 0.1 * i);
        add("gn", i, 8, 4, 83 + 0.1 * i);
        add("gn", i, 128, 1, 83.2 + 0.1 * i);
    }
    write_report();
    holds("report.md", "From batch 128 to batch 8 BN goes from 85.10 % to 80.20 %: 4.90 points lost", true);
    holds("report.md", "| BN | 80.20 ± 0.10 | 85.10 ± 0.26 |", true);
    holds("report.md", "| LN | \xe2\x80\x93 | 83.10 ± 0.10 |", true);
    holds("report.md", "Of the numbers of groups tried, 1 is best with 83.40 % and 4 worst with 83.10 %", true);
    is_png("report-batches.png", 1400, 800);
    is_png("report-groups.png", 1400, 800);
}
END_TEST

/* The sweep is that of the shorter runs, on the second model: longer runs and the other model have no part in it. */
START_TEST(sweep_beside_other_runs)
{
    for (int i = 1; i <= SEEDS; i++) {
        add("bn", i, 128, 0, 87 + 0.1 * i);
        strcpy(runs[n_runs - 1].model, "a");
        strcpy(runs[n_runs - 1].options.model, "a");
        add("bn", i, 128, 0, 85 + 0.1 * i);
        add("bn", i, 128, 0, 80 + 0.1 * i)->options.epochs = 3;
        add("bn", i, 8, 0, 73 + 0.1 * i)->options.epochs = 3;
    }
    write_report();
    holds("report.md", "From batch 128 to batch 8 s8, BN \\#2 goes from 80.20 % to 73.20 %: 7.00 points lost", true);
    holds("report.md", "| BN | 73.20 ± 0.10 | 80.20 ± 0.10 |", true);
    holds("report.md", "Network s8.", true);
    holds("report.md", "The learning rate is the same for all batches.", true);
    is_png("report-batches.png", 1400, 800);
}
END_TEST

START_TEST(equal_differences)
{
    for (int i = 1; i <= 2; i++) {
        add("bn", i, 128, 0, 80 + 0.2 * i + 0.4);
        add("ln", i, 128, 0, 80 + 0.2 * i);
    }
    write_report();
    holds("report.md", "BN is 0.40 points above LN with each of 2 seeds", true);
    holds("report.md", "significant (", false);
    holds("report.md", "| the same with each seed |", true);
    holds("report.md", "nan", false);
}
END_TEST

START_TEST(equal_accuracies)
{
    for (int i = 1; i <= 2; i++) {
        add("bn", i, 128, 0, 100);
        add("ln", i, 128, 0, 100);
    }
    write_report();
    holds("report.md", "BN and LN are equally accurate with each of 2 seeds", true);
    holds("report.md", "the most accurate", false);
    holds("report.md", "above LN", false);
}
END_TEST

/* Held-out images are not the study's; runs that are missing and systems that differ are told of. */
START_TEST(report_of_mixed_runs)
{
    three_norms();
    write_report();
    holds("report.md", "left out", false);
    holds("report.md", "Not all runs had", false);
    unfinished = 2;
    strcpy(runs[4].driver, "another");
    for (int i = 0; i < n_runs; i++)
        runs[i].options.val_split = 100;
    write_report();
    holds("report.md", "2 runs are left out, which had not ended or whose loss was not finite", true);
    holds("report.md", "Not all runs had this device, driver and version", true);
    holds("report.md", "75.02", false);
}
END_TEST

START_TEST(report_of_one_run)
{
    add("ln", 7, 128, 0, 81.7);
    cln_outcome_clear(&runs[0].outcome);
    runs[0].has_outcome = false;
    strcpy(runs[0].data, "other");
    strcpy(runs[0].source, "it's here/data");
    write_report();
    holds("report.md", "# Layer norm: a report", true);
    holds("report.md", "| LN | 1 | **81.70** | \xe2\x80\x93 |", true);
    holds("report.md", "significant", false);
    holds("report.md", "75.02", false);
    holds("report.md", "nan", false);
    holds("report.md", "**LN reaches 81.70 %** of the test images", true);
    holds("report.md", " --data 'it'\\''s here/data'", true);
}
END_TEST

START_TEST(one_seed_is_not_significant)
{
    add("bn", 1, 128, 0, 85);
    add("ln", 1, 128, 0, 60);
    write_report();
    holds("report.md", "BN is 25.00 points above LN with one seed, which cannot tell the norm's part from chance.", true);
    holds("report.md", "one seed tells nothing", true);
    holds("report.md", "nan", false);
}
END_TEST

/* ---- documents ----------------------------------------------------------------------------------- */

START_TEST(document_escapes)
{
    static const char *const columns[] = {"a|b", "<c>"}, *const cells[] = {"1 | 2", "x_y*z"};
    cln_document *d;
    OK(cln_document_new(at(""), "d", "T & <t>", &d, &err));
    cln_document_paragraph(d, "100 %% " CLN_STRONG "[b](c)" CLN_WEAK " \xff\xc3\xa9 `code` \x07");
    cln_document_item(d, "one");
    cln_document_item(d, "two");
    cln_document_table(d, columns, "lr", 2);
    cln_document_row(d, cells);
    cln_document_code(d, "a < b");
    OK(cln_document_close(d, 0, &err));
    holds("d.html", "<title>T &amp; &lt;t&gt;</title>", true);
    holds("d.html", "<p>100 % <strong>[b](c)</strong> ?\xc3\xa9 `code` ?</p>", true);
    holds("d.html", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>", true);
    holds("d.html", "<tr><td>1 | 2</td><td class=\"r\">x_y*z</td></tr>", true);
    holds("d.html", "<pre>a &lt; b</pre>", true);
    holds("d.md", "100 % **\\[b\\](c)** ?\xc3\xa9 \\`code\\` ?", true);
    holds("d.md", "| a\\|b | \\<c\\> |\n|---|---:|\n| 1 \\| 2 | x\\_y\\*z |\n", true);
    holds("d.md", "```\na < b\n```", true);
}
END_TEST

START_TEST(document_fails_whole)
{
    cln_document *d;
    OK(cln_document_new(at("nowhere"), "d", "t", &d, &err));
    ck_assert_int_eq(cln_document_close(d, 0, &err), CLN_ERR_IO);
    OK(cln_document_new(at(""), "d", "t", &d, &err));
    cln_document_picture(d, "missing.png", 10, "caption");
    ck_assert_int_eq(cln_document_close(d, 0, &err), CLN_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "d-missing.png"));
    ck_assert_int_ne(access(at("d.html"), F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *c = tcase_create("report");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, groups_and_pairs);
    tcase_add_test(c, base_of_each_model);
    tcase_add_test(c, refused_together);
    tcase_add_test(c, default_groups);
    tcase_add_test(c, report_of_three_norms);
    tcase_add_test(c, commands_of_other_optimizers);
    tcase_add_test(c, times_that_overlap);
    tcase_add_test(c, times_of_another_part);
    tcase_add_test(c, report_of_sweeps);
    tcase_add_test(c, sweep_beside_other_runs);
    tcase_add_test(c, equal_differences);
    tcase_add_test(c, equal_accuracies);
    tcase_add_test(c, report_of_mixed_runs);
    tcase_add_test(c, report_of_one_run);
    tcase_add_test(c, one_seed_is_not_significant);
    tcase_add_test(c, document_escapes);
    tcase_add_test(c, document_fails_whole);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
