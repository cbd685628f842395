#include "cli.h"

#include "../json.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int cln_cli_status(int code)
{
    if (code == CLN_OK)
        return CLN_EXIT_OK;
    return code == CLN_ERR_ARGUMENT ? CLN_EXIT_USAGE : 2 - code;
}

int cln_cli_fail(const cln_error *err)
{
    const char *text = err->text[0] ? err->text : cln_error_name(err->code);
    const bool hint = err->code == CLN_ERR_MEMORY && !strstr(text, "close other programs");
    fflush(stdout);
    fprintf(stderr, "clnorm: %s%s\n", text, hint ? "; close other programs to make room" : "");
    if (err->log[0])
        fprintf(stderr, "%s%s", err->log, err->log[strlen(err->log) - 1] == '\n' ? "" : "\n");
    return cln_cli_status(err->code);
}

int cln_cli_usage(const char *name, const char *fmt, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "clnorm %s: ", name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, " (see clnorm %s --help)\n", name);
    return CLN_EXIT_USAGE;
}

int cln_cli_print_json(json_t *root)
{
    char *text = root ? cln_json_dump(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL; /* 9.4, not 9.4000000000000004 */
    cln_error err = {0};
    json_decref(root);
    if (!text) {
        CLN_FAIL(&err, CLN_ERR_MEMORY, "out of host memory while printing");
        return cln_cli_fail(&err);
    }
    puts(text);
    free(text);
    return CLN_EXIT_OK;
}

void cln_cli_notice(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "clnorm: %s\n", text);
}

static volatile sig_atomic_t interrupts;

/* The second one ends the process, unless it comes with the first: timeout(1) signals its command and then its group. */
static void on_signal(int number)
{
    static struct timespec first;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!interrupts) {
        first = now;
        interrupts = 1;
    } else if ((double)(now.tv_sec - first.tv_sec) + 1e-9 * (double)(now.tv_nsec - first.tv_nsec) > 0.1) {
        _exit(128 + number);
    }
}

void cln_cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}; /* drivers wait for their compilers */
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cln_cli_interrupted(void) { return interrupts != 0; }
bool cln_cli_cut_off(int rc) { return interrupts != 0 && (rc == CLN_ERR_BUILD || rc == CLN_ERR_CL); }

void cln_cli_duration(double seconds, char *out, size_t size)
{
    const long t = isfinite(seconds) ? (long)(seconds + 0.5) : 0;
    if (!isfinite(seconds))
        snprintf(out, size, "?");
    else if (t >= 3600)
        snprintf(out, size, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
    else
        snprintf(out, size, "%ld:%02ld", t / 60, t % 60);
}
