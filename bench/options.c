/* The options that every bench takes, and what every bench does first and last. */
#include "bench.h"

#include <getopt.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "cli/cli.h"
#include "file.h"
#include "options.h"
#include "tune.h"

enum { MAX_FLAGS = 16, COMMON = 10 };

static const char *const common[COMMON] = {"device=", "model=", "batch=", "norm=",   "min-time=",
                                           "json=",   "csv=",   "plot=",  "filter=", "help"};

static const char common_help[] =
    "  --device D       index, platform:device, cpu, gpu, or part of a name\n"
    "  --min-time S     seconds of samples for each row (%g)\n"
    "  --filter RE      only rows whose name fits the regular expression\n"
    "  --json FILE      write JSON of Google Benchmark's shape (-: to stdout, in place of the table)\n"
    "  --csv FILE       write CSV (-: likewise)\n";

/* ---- values -------------------------------------------------------------------------------------- */

static int set_filter(cln_bench_options *o, const char *text, cln_error *err)
{
    regex_t re;
    const int status = regcomp(&re, text, REG_EXTENDED | REG_NOSUB);
    if (status) {
        char why[128];
        regerror(status, &re, why, sizeof why);
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--filter: '%s': %s", text, why);
    }
    regfree(&re);
    o->filter = text;
    return CLN_OK;
}

static int set_batches(cln_bench_options *o, const char *value, cln_error *err)
{
    const int rc = cln_option_integers("batch", value, 1, CLN_MAX_BATCH, o->batches, CLN_BENCH_MAX_BATCHES, &o->n_batches, err);
    return rc ? rc : cln_option_distinct("batch", o->batches, o->n_batches, err);
}

int cln_bench_output(const char **out, const char *path, cln_error *err)
{
    *out = path;
    return strcmp(path, "-") ? cln_file_try(path, err) : CLN_OK;
}

int cln_bench_picture(const char **out, const char *path, cln_error *err)
{
    const int rc = cln_chart_check_name(path, err);
    *out = path;
    return rc ? rc : cln_file_try(path, err);
}

static int set_common(cln_bench_options *o, const char *name, const char *value, cln_error *err)
{
    char *end;
    if (!strcmp(name, "device"))
        o->device = value;
    else if (!strcmp(name, "norm"))
        return cln_option_norms("norm", value, o->norms, CLN_BENCH_MAX_NORMS, &o->n_norms, err);
    else if (!strcmp(name, "batch"))
        return set_batches(o, value, err);
    else if (!strcmp(name, "json"))
        return cln_bench_output(&o->json, value, err);
    else if (!strcmp(name, "csv"))
        return cln_bench_output(&o->csv, value, err);
    else if (!strcmp(name, "plot"))
        return cln_bench_picture(&o->plot, value, err);
    else if (!strcmp(name, "filter"))
        return set_filter(o, value, err);
    else if (!strcmp(name, "model")) {
        if (strlen(value) >= sizeof o->model)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--model: the name is too long");
        strcpy(o->model, value);
    } else if (!strcmp(name, "min-time")) {
        o->min_time = strtod(value, &end);
        if (end == value || *end || !(o->min_time >= 0.001 && o->min_time <= 3600))
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--min-time: '%s' is not a number of seconds from 0.001 to 3600",
                            value);
    }
    return CLN_OK;
}

/* ---- the command line ---------------------------------------------------------------------------- */

static struct option long_option(const char *flag, char *room, size_t size, int value)
{
    const size_t length = strlen(flag);
    const bool takes = length && flag[length - 1] == '=';
    snprintf(room, size, "%.*s", (int)(takes ? length - 1 : length), flag);
    return (struct option){room, takes ? required_argument : no_argument, NULL, value};
}

int cln_bench_parse(int argc, char **argv, cln_bench_options *o, const char *help, const char *const *flags,
                    cln_bench_other other, void *arg)
{
    enum { FIRST_COMMON = 256, FIRST_OTHER = 512 }; /* a value each: getopt takes equal ones for one option */
    struct option options[COMMON + MAX_FLAGS + 1] = {{0}};
    char names[COMMON + MAX_FLAGS][32];
    int n = 0, c;
    for (; n < COMMON; n++)
        options[n] = long_option(common[n], names[n], sizeof names[n], FIRST_COMMON + n);
    for (int i = 0; flags && flags[i] && n < COMMON + MAX_FLAGS; i++, n++)
        options[n] = long_option(flags[i], names[n], sizeof names[n], FIRST_OTHER + i);
    cln_error err = {0};
    o->title = argv[0];
    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const bool shared = c < FIRST_OTHER;
        if (c < FIRST_COMMON)
            return CLN_EXIT_USAGE;
        const int at = shared ? c - FIRST_COMMON : COMMON + c - FIRST_OTHER;
        if (shared && !strcmp(options[at].name, "help")) {
            printf("%s", help);
            printf(common_help, o->min_time);
            printf("  --help           print this\n");
            return CLN_EXIT_OK;
        }
        const int rc = shared ? set_common(o, options[at].name, optarg, &err) : other(arg, options[at].name, optarg, &err);
        if (rc)
            return cln_cli_fail(&err);
    }
    if (o->json && o->csv && !strcmp(o->json, "-") && !strcmp(o->csv, "-"))
        return cln_cli_usage(o->title + strlen("clnorm "), "--json and --csv cannot both go to stdout");
    return optind < argc ? cln_cli_usage(o->title + strlen("clnorm "), "'%s' is not an option", argv[optind]) : -1;
}

bool cln_bench_wanted(const cln_bench_options *o, const char *name)
{
    regex_t re;
    if (!o->filter)
        return true;
    if (regcomp(&re, o->filter, REG_EXTENDED | REG_NOSUB))
        return false; /* it was checked before: out of memory */
    const bool wanted = !regexec(&re, name, 0, NULL, 0);
    regfree(&re);
    return wanted;
}

/* ---- first and last ------------------------------------------------------------------------------ */

bool cln_bench_quiet(const cln_bench_options *o)
{
    return (o->json && !strcmp(o->json, "-")) || (o->csv && !strcmp(o->csv, "-"));
}

int cln_bench_open(const cln_bench_options *o, cln_device **dev, cln_error *err)
{
    int rc = cln_device_open(o->device, true, dev, err);
    if (!rc)
        cln_device_set_notice(*dev, cln_cli_notice, NULL);
    return rc;
}

void cln_bench_close(cln_device *dev)
{
    if (dev)
        cln_program_cache_save(dev);
    cln_device_close(dev);
}

int cln_bench_write(const cln_bench_report *r, const cln_bench_options *o, cln_error *err)
{
    const int json = o->json ? cln_bench_write_json(r, o, o->json, err) : CLN_OK;
    const int csv = o->csv ? cln_bench_write_csv(r, o, o->csv, json ? NULL : err) : CLN_OK; /* what was measured is not lost over the first */
    return json ? json : csv;
}

void cln_bench_print_context(const cln_bench_report *r)
{
    const cln_bench_context *c = &r->context;
    printf("%s, %s\n%s, %s (%s), load %.1f\n", c->device, c->platform, c->date, c->program, c->commit, c->load[0]);
    if (c->peaks.flops > 0) {
        const int last = c->peaks.n_bandwidth - 1;
        double best = 0;
        for (int i = 0; i <= last; i++)
            best = fmax(best, c->peaks.bandwidth[i].copy);
        printf("ceilings: %.0f GFLOP/s; copy %.0f GB/s in cache, %.0f GB/s beyond\n", 1e-9 * c->peaks.flops, 1e-9 * best,
               last >= 0 ? 1e-9 * c->peaks.bandwidth[last].copy : 0.0);
    }
    printf("\n");
}
