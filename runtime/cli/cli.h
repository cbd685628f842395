/* A sub-command is one file with one function, named in the table of main.c.
 * Results go to stdout; errors, notices and progress to stderr. */
#ifndef CLN_CLI_H
#define CLN_CLI_H

#include "../error.h"

#include <jansson.h>

/* Exit statuses: 0, 2 for a wrong command line (and CLN_ERR_ARGUMENT), else 2 - code:
 * CLN_ERR_MEMORY 3, CLN_ERR_DEVICE 5, ... `clnorm --help` prints the list. */
enum { CLN_EXIT_OK = 0, CLN_EXIT_USAGE = 2 };
int cln_cli_status(int code);

/* Prints "clnorm: <text>" and, where there is one, the compiler's log; returns the exit status. */
int cln_cli_fail(const cln_error *err);

/* Prints "clnorm <command>: <text> (see clnorm <command> --help)"; returns CLN_EXIT_USAGE. */
int cln_cli_usage(const char *command, const char *fmt, ...) CLN_PRINTF(2, 3);

/* Prints `root` (which it takes over; NULL: it could not be made) indented on stdout; returns the exit status. */
int cln_cli_print_json(json_t *root);

/* For cln_device.notice: prints "clnorm: <text>" on stderr; arg is not used. */
void cln_cli_notice(void *arg, const char *text);

/* After the first: SIGINT and SIGTERM do nothing but set what the second tells, so that work can be saved; another one
 * ends the process. */
void cln_cli_catch_signals(void);
bool cln_cli_interrupted(void);

/* Whether an error is that signal's work: a terminal sends it to the driver's compiler, too, and a kernel then does not build. */
bool cln_cli_cut_off(int rc);

/* "1:02:03" or "2:03"; "?" where it is not known. */
void cln_cli_duration(double seconds, char *out, size_t size);

/* Sub-commands. argv[0] is "clnorm <name>", which getopt_long puts before its own messages, and
 * optind is 1; the return value is the exit status. Each answers --help on stdout with 0. */
int cln_cmd_train(int argc, char **argv);
int cln_cmd_study(int argc, char **argv);
int cln_cmd_lr_find(int argc, char **argv);
int cln_cmd_report(int argc, char **argv);
int cln_cmd_eval(int argc, char **argv);
int cln_cmd_bench(int argc, char **argv);
int cln_cmd_devices(int argc, char **argv);
int cln_cmd_doctor(int argc, char **argv);
int cln_cmd_tune(int argc, char **argv);
int cln_cmd_model(int argc, char **argv);
int cln_cmd_fetch(int argc, char **argv);

#endif
