#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cln_cli_status(int code)
{
    if (code == CLN_OK)
        return CLN_EXIT_OK;
    return code == CLN_ERR_ARGUMENT ? CLN_EXIT_USAGE : 2 - code;
}

int cln_cli_fail(const cln_error *err)
{
    fflush(stdout);
    fprintf(stderr, "clnorm: %s\n", err->text[0] ? err->text : cln_error_name(err->code));
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

void cln_cli_notice(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "clnorm: %s\n", text);
}
