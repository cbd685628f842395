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

/* Sub-commands. argv[0] is "clnorm <name>", which getopt_long puts before its own messages, and
 * optind is 1; the return value is the exit status. Each answers --help on stdout with 0. */
int cln_cmd_train(int argc, char **argv);
int cln_cmd_eval(int argc, char **argv);
int cln_cmd_bench(int argc, char **argv);
int cln_cmd_devices(int argc, char **argv);
int cln_cmd_doctor(int argc, char **argv);
int cln_cmd_model(int argc, char **argv);
int cln_cmd_fetch(int argc, char **argv);

#endif
