/* clnorm doctor: does this device compute what it should? */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "../json.h"
#include "../program.h"
#include "../run.h"
#include "../ops/conv.h"
#include "../tune.h"
#include "cli.h"
#include "doctor.h"

typedef enum { PASSED, FAILED, SKIPPED } outcome;
static const char *const outcome_names[] = {"ok", "FAILED", "skipped"};

typedef struct result {
    const cln_doctor_check *check;
    outcome outcome;
    cln_verdict verdict;
    double seconds;
} result;

typedef struct doctor {
    const char *device, *json;
    char only[256];    /* ops between commas, with one before and behind; "": all */
    const char *class; /* "vector", "simt"; NULL: both */
    bool full;
    cln_device *dev;
    cln_doctor_check checks[CLN_DOCTOR_MAX];
    int n_checks;
    result results[CLN_DOCTOR_MAX];
    int n, failed;
} doctor;

static void print_help(const doctor *d)
{
    printf(
        "usage: clnorm doctor [OPTION ...]\n"
        "\n"
        "Checks a device: builds every kernel, compares every layer, forward and backward, with a "
        "reference in\n"
        "double precision, twice and bit for bit, tries limits and memory, and trains a network "
        "for 20 steps\n"
        "against recorded losses. Exit status 0 only if all of that passed.\n"
        "\n"
        "options:\n"
        "  --device D   index, platform:number, type or part of a name ($CLNORM_DEVICE, else 0)\n"
        "  --only A,B   these checks alone (the first column of the table)\n"
        "  --class C    kernels of one class alone: vector or simt (both)\n"
        "  --full       with the convolution by GEMM, whose kernels CLBlast compiles for some 20 s "
        "on a CPU\n"
        "  --cases C    few; all: every case of the test suite (minutes); small: those that a "
        "simulator of devices\n"
        "               can bear, and no training (few)\n"
        "  --json FILE  write the results as JSON, too\n"
        "  --help       print this\n"
        "\n"
        "checks:");
    for (int i = 0; i < d->n_checks; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++)
            seen = seen || strcmp(d->checks[k].op, d->checks[i].op) == 0;
        if (!seen)
            printf(" %s", d->checks[i].op);
    }
    printf("\n");
}

/* ---- the table ----------------------------------------------------------------------------------- */

static void print_head(const doctor *d)
{
    const cln_device_info *info = &d->dev->info;
    const cln_tune_request request = {CLN_CLASS_AUTO, -1};
    printf("device %d: %s\n%s, driver %s, %s; kernels of the %s class by default\n\n", info->index,
           info->name, info->platform_name, info->driver, info->version,
           cln_tune_class(info, &request) == CLN_CLASS_SIMT ? "simt" : "vector");
    printf("%-9s %-9s %-23s %5s %9s %9s %8s\n", "check", "kernels", "what", "cases", "error",
           "allowed", "time");
}

static void print_row(const result *r)
{
    const cln_verdict *v = &r->verdict;
    const cln_doctor_check *c = r->check;
    printf("%-9s %-9s %-23s ", c->op, c->kernels, c->what);
    if (r->outcome == SKIPPED) {
        printf("skipped: %s\n", v->first);
        return;
    }
    printf("%5d ", v->cases);
    if (v->allowed > 0)
        printf("%9.1e %9.1e ", v->error, v->allowed);
    else
        printf("%9s %9s ", "", "");
    printf("%6.2f s  %s\n", r->seconds, outcome_names[r->outcome]);
    if (r->outcome == FAILED)
        printf("    %s\n", v->first);
    fflush(stdout);
}

/* ---- the checks ---------------------------------------------------------------------------------- */

static bool wanted(const doctor *d, const cln_doctor_check *c)
{
    char word[32];
    snprintf(word, sizeof word, ",%s,", c->op);
    if (d->only[0] && !strstr(d->only, word))
        return false;
    const cln_class cls = c->tune.cls;
    return !d->class || cls == CLN_CLASS_AUTO || (cls == CLN_CLASS_SIMT) == (strcmp(d->class, "simt") == 0);
}

/* Why a check makes no sense on the device, NULL if it does. */
static const char *reason_to_skip(const doctor *d, const cln_doctor_check *c)
{
    if (strcmp(c->kernels, "gemm") == 0 && !d->full && d->dev->info.type & CL_DEVICE_TYPE_CPU)
        return "CLBlast may compile for 20 s; --full does it";
    if (strcmp(c->kernels, "winograd") == 0 && !d->dev->info.local_is_global)
        return "for devices whose local memory is in a cache";
    if (c->tune.conv == CLN_CONV_TILE && !cln_conv_tile.supports(&d->dev->info, &(cln_conv_shape){0}, CLN_CONV_FWD))
        return "the device has too small work-groups or too little local memory";
    if (strcmp(c->op, "training") == 0 && c->cases == CLN_CASES_SMALL)
        return "not among the small cases";
    return NULL;
}

static void run(doctor *d, const cln_doctor_check *c)
{
    result *r = &d->results[d->n++];
    const double began = cln_now();
    *r = (result){.check = c};
    const char *reason = reason_to_skip(d, c);
    if (reason) {
        r->outcome = SKIPPED;
        snprintf(r->verdict.first, sizeof r->verdict.first, "%s", reason);
    } else {
        c->run(d->dev, c, &r->verdict);
        if (!r->verdict.cases)
            cln_verdict_fail(&r->verdict, "there is no case for it");
        r->outcome = r->verdict.failures ? FAILED : PASSED;
    }
    r->seconds = cln_now() - began;
    d->failed += r->outcome == FAILED;
    print_row(r);
}

/* ---- the verdict --------------------------------------------------------------------------------- */

static int failures_of(const doctor *d, const char *kernels)
{
    int n = 0;
    for (int i = 0; i < d->n; i++)
        n += d->results[i].outcome == FAILED && strcmp(d->results[i].check->kernels, kernels) == 0;
    return n;
}

static bool op_failed(const doctor *d, const char *op)
{
    for (int i = 0; i < d->n; i++)
        if (d->results[i].outcome == FAILED && strcmp(d->results[i].check->op, op) == 0)
            return true;
    return false;
}

/* "conv (vector), bn (vector), network (vector)" */
static void list_failures(const doctor *d, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < d->n; i++) {
        const cln_doctor_check *c = d->results[i].check;
        if (d->results[i].outcome == FAILED && n < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s%s%s%s", n ? ", " : "", c->op,
                                  c->kernels[0] ? " (" : "", c->kernels, c->kernels[0] ? ")" : "");
    }
}

/* Both classes were looked at, and `good` had no failure; nor had the device itself. */
static bool other_class_is_good(const doctor *d, const char *good)
{
    return !d->class && !d->only[0] && failures_of(d, good) == 0 && failures_of(d, "") == 0;
}

static int passed(const doctor *d)
{
    int n = 0;
    for (int i = 0; i < d->n; i++)
        n += d->results[i].outcome == PASSED;
    return n;
}

static const char *advice(const doctor *d)
{
    const int vector = failures_of(d, "vector"), simt = failures_of(d, "simt"),
              gemm = failures_of(d, "gemm"),
              special = failures_of(d, "winograd") + failures_of(d, "pointwise"), tile = failures_of(d, "tile");
    if (!d->failed && passed(d) == 0)
        return "nothing was checked: leave out --only, --class or --cases";
    if (!d->failed)
        return "this device computes what it should";
    if (vector && other_class_is_good(d, "simt"))
        return "the vector kernels compute wrongly on this device: do not train with them; update "
               "its driver, choose "
               "another device (clnorm devices), or train with --class simt --conv simt, which "
               "passed";
    if (simt && other_class_is_good(d, "vector"))
        return "the simt kernels compute wrongly on this device: do not train with them; update "
               "its driver, choose another "
               "device (clnorm devices), or train with --class vector --conv vector, which passed";
    if (special && special == d->failed)
        return "the convolution by Winograd's transforms or for 1x1 is wrong on this device: train with --conv vector";
    if (tile && tile == d->failed)
        return "the convolution by tiles in local memory is wrong on this device: train with --conv simt";
    if (gemm && gemm == d->failed)
        return "the convolution by GEMM is wrong on this device: train with --conv vector or "
               "--conv simt, "
               "or try another version of CLBlast";
    if (op_failed(d, "memory") && d->failed == 1)
        return "the device announces memory that it does not have: use a small --batch, update its "
               "driver, or choose another "
               "device (clnorm devices)";
    return "this device computes wrongly: do not train on it; update its driver or choose another "
           "device (clnorm devices)";
}

static void print_verdict(const doctor *d, double seconds)
{
    char list[512];
    list_failures(d, list, sizeof list);
    printf("\n%d checks in %.1f s: %d passed, %d failed, %d skipped\n", d->n, seconds,
           passed(d), d->failed, d->n - passed(d) - d->failed);
    if (d->failed)
        printf("FAILED: %s\n", list);
    printf("%s\n", advice(d));
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static json_t *row_json(const result *r)
{
    const cln_verdict *v = &r->verdict;
    bool whole = true;
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:i, s:f}", "check", r->check->op, "kernels",
                            r->check->kernels, "what", r->check->what, "outcome",
                            outcome_names[r->outcome], "cases", v->cases, "seconds", r->seconds);
    if (row && v->allowed > 0) { /* JSON has no NaN: null */
        whole = !json_object_set_new(row, "error", isfinite(v->error) ? json_real(v->error) : json_null()) && whole;
        whole = !json_object_set_new(row, "allowed", json_real(v->allowed)) && whole;
    }
    if (row && v->first[0])
        whole = !json_object_set_new(row, "text", cln_run_text(v->first)) && whole;
    if (!whole) {
        json_decref(row);
        row = NULL;
    }
    return row;
}

static int write_json(const doctor *d, cln_error *err)
{
    const cln_device_info *info = &d->dev->info;
    json_t *rows = json_array();
    for (int i = 0; i < d->n; i++)
        rows = cln_json_append(rows, row_json(&d->results[i]));
    json_t *root =
        json_pack("{s:s, s:{s:i, s:o, s:o, s:o, s:o}, s:o, s:b, s:s}", "version", CLNORM_VERSION,
                  "device", "index", info->index, "name", cln_run_text(info->name), "platform",
                  cln_run_text(info->platform_name), "driver", cln_run_text(info->driver), "opencl",
                  cln_run_text(info->version), "checks", rows, "passed", d->failed == 0 && passed(d) > 0, "advice",
                  advice(d));
    const int rc = root ? cln_json_write(d->json, root, err) : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    json_decref(root);
    return rc;
}

/* ---- the command --------------------------------------------------------------------------------- */

static int set_only(doctor *d, const char *text)
{
    char copy[200], *rest = NULL;
    int words = 0;
    snprintf(copy, sizeof copy, "%s", text);
    if (strlen(text) >= sizeof copy || !*text)
        return cln_cli_usage("doctor", "--only: the list is %s", *text ? "too long" : "empty");
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest), words++) {
        bool known = false;
        for (int i = 0; i < d->n_checks; i++)
            known = known || strcmp(d->checks[i].op, word) == 0;
        if (!known)
            return cln_cli_usage("doctor", "--only: there is no check '%s'", word);
    }
    if (words == 0)
        return cln_cli_usage("doctor", "--only: the list is empty");
    snprintf(d->only, sizeof d->only, ",%s,", text);
    return -1;
}

static int set_cases(doctor *d, const char *text)
{
    static const char *const names[] = {"few", "small", "all"}; /* by cln_cases_wanted */
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            for (int k = 0; k < d->n_checks; k++)
                d->checks[k].cases = (cln_cases_wanted)i;
            return -1;
        }
    return cln_cli_usage("doctor", "--cases: '%s' is none of few, small, all", text);
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, doctor *d)
{
    static const struct option options[] = {
        {"device", required_argument, NULL, 'd'}, {"only", required_argument, NULL, 'o'},
        {"class", required_argument, NULL, 'c'},  {"full", no_argument, NULL, 'f'},
        {"cases", required_argument, NULL, 'k'},  {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {0}};
    int c, status = -1;
    while (status < 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            d->device = optarg;
            break;
        case 'o':
            status = set_only(d, optarg);
            break;
        case 'c':
            d->class = optarg;
            if (strcmp(optarg, "vector") != 0 && strcmp(optarg, "simt") != 0)
                status =
                    cln_cli_usage("doctor", "--class: '%s' is neither vector nor simt", optarg);
            break;
        case 'f':
            d->full = true;
            break;
        case 'k':
            status = set_cases(d, optarg);
            break;
        case 'j':
            d->json = optarg;
            break;
        case 'h':
            print_help(d);
            return CLN_EXIT_OK;
        default:
            return CLN_EXIT_USAGE;
        }
    }
    if (status < 0 && optind < argc)
        return cln_cli_usage("doctor", "unexpected argument \"%s\"", argv[optind]);
    return status;
}

int cln_cmd_doctor(int argc, char **argv)
{
    static doctor d; /* large for a stack */
    cln_error err = {0};
    const double began = cln_now();
    d.n_checks = cln_doctor_list(d.checks, CLN_DOCTOR_MAX);
    int status = parse(argc, argv, &d);
    if (status >= 0)
        return status;
    int rc = cln_device_open(d.device, false, &d.dev, &err);
    if (!rc) {
        cln_device_set_notice(d.dev, cln_cli_notice, NULL);
        print_head(&d);
        for (int i = 0; i < d.n_checks; i++)
            if (wanted(&d, &d.checks[i]))
                run(&d, &d.checks[i]);
        print_verdict(&d, cln_now() - began);
        fflush(stdout);
        rc = d.json ? write_json(&d, &err) : CLN_OK;
    }
    cln_device_close(d.dev);
    if (rc)
        return cln_cli_fail(&err);
    return d.failed || passed(&d) == 0 ? cln_cli_status(CLN_ERR_DEVICE) : CLN_EXIT_OK;
}
