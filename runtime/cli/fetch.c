/* clnorm fetch: downloads CIFAR-10 into the cache folder, where `clnorm train` finds it. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../clock.h"
#include "cli.h"
#include "fetch.h"

typedef struct meter {
    bool terminal, shown;
    double begin, last;  /* seconds */
    uint64_t first;      /* bytes that were there at the beginning */
    unsigned last_tenth; /* where there is no terminal: a line for each 10 % */
} meter;

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void show(meter *m, double t, uint64_t done, uint64_t total)
{
    const double mib = 1 << 20;
    double rate = t > m->begin ? (double)(done - m->first) / (t - m->begin) : 0;
    if (!m->terminal) {
        unsigned tenth = (unsigned)(done * 10 / total);
        if (tenth <= m->last_tenth)
            return;
        m->last_tenth = tenth;
        fprintf(stderr, "%u %% of %.1f MiB\n", tenth * 10, (double)total / mib);
        return;
    }
    fprintf(stderr, "\r\033[K%.1f of %.1f MiB  %3u %%  %.1f MiB/s", (double)done / mib,
            (double)total / mib, (unsigned)(done * 100 / total), rate / mib);
    if (rate > 0)
        fprintf(stderr, "  %.0f s left", (double)(total - done) / rate);
    m->shown = true;
}

static int on_progress(void *user, uint64_t done, uint64_t total)
{
    meter *m = user;
    double t = cln_now();
    if (interrupted)
        return 1;
    /* Before the first byte there is no total, and a server may send everything once more. */
    if (!total || done > total)
        return 0;
    if (!m->begin || done < m->first) {
        m->begin = t;
        m->first = done;
    }
    if (done < total && t - m->last < 0.1)
        return 0;
    m->last = t;
    show(m, t, done, total);
    return 0;
}

static void print_help(void)
{
    printf("usage: clnorm fetch [OPTION ...]\n"
           "\n"
           "Downloads CIFAR-10's binary version (162 MiB), verifies it, and puts it where clnorm "
           "train\n"
           "looks for data. An interrupted download continues where it stopped.\n"
           "\n"
           "options:\n"
           "  --dir DIR   folder to put it in (default: $XDG_CACHE_HOME/clnorm/data, else\n"
           "              ~/.cache/clnorm/data); train with --data DIR then\n"
           "  --url URL   http or https address (default: " CLN_FETCH_URL ")\n"
           "  --md5 HEX   its MD5 sum (default: " CLN_FETCH_MD5 ")\n"
           "  --quiet     no progress\n"
           "  --help      print this\n");
}

static int fetch(cln_fetch_options opt, bool quiet)
{
    meter m = {.terminal = isatty(STDERR_FILENO)};
    struct sigaction act = {.sa_handler = on_signal}, old;
    cln_fetch_result res;
    cln_error err = {0};
    m.last_tenth = quiet ? 10 : 0; /* the callback is needed all the same: it notices Ctrl-C */
    m.terminal = m.terminal && !quiet;
    opt.progress = on_progress;
    opt.user = &m;

    act.sa_flags = (int)SA_RESETHAND; /* a second Ctrl-C ends the program at once */
    sigaction(SIGINT, &act, &old);
    int rc = cln_fetch(&opt, &res, &err);
    sigaction(SIGINT, &old, NULL);
    if (m.shown)
        fprintf(stderr, "\n");
    if (rc) {
        const int status = cln_cli_fail(&err);
        return interrupted ? 130 : status;
    }
    if (res.present)
        printf("%s is there already, its MD5 sum is right\n", res.path);
    else
        printf("%s: %.1f MiB, its MD5 sum is right\n", res.path, (double)res.bytes / (1 << 20));
    if (opt.dir)
        printf("train on it with: clnorm train --data '%s'\n", res.path);
    return CLN_EXIT_OK;
}

int cln_cmd_fetch(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"url", required_argument, NULL, 'u'},
        {"md5", required_argument, NULL, 'm'}, {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},      {NULL, 0, NULL, 0},
    };
    cln_fetch_options opt = {0};
    bool quiet = false;
    int c;
    while ((c = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            opt.dir = optarg;
            break;
        case 'u':
            opt.url = optarg;
            break;
        case 'm':
            opt.md5 = optarg;
            break;
        case 'q':
            quiet = true;
            break;
        case 'h':
            print_help();
            return CLN_EXIT_OK;
        default:
            return CLN_EXIT_USAGE;
        }
    }
    if (optind < argc)
        return cln_cli_usage("fetch", "\"%s\" is one argument too many", argv[optind]);
    return fetch(opt, quiet);
}
