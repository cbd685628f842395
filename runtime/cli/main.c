/* The program: finds the sub-command and runs it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

typedef struct command {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} command;

static const command commands[] = {
    {"train", "train a network; leaves weights, metrics and pictures in a folder", cln_cmd_train},
    {"study", "train with each norm from several seeds, to compare them", cln_cmd_study},
    {"lr-find", "try learning rates with each norm, on held-out training images", cln_cmd_lr_find},
    {"report", "tables, curves and findings of finished runs, as HTML and Markdown", cln_cmd_report},
    {"eval", "accuracy of a trained model, class by class", cln_cmd_eval},
    {"bench", "time training on a device", cln_cmd_bench},
    {"devices", "list the OpenCL devices, and whether each one works", cln_cmd_devices},
    {"doctor", "check that a device computes what it should", cln_cmd_doctor},
    {"tune", "measure which algorithms are the fastest on a device, for all later runs", cln_cmd_tune},
    {"model", "print the layers of a network and what each one costs", cln_cmd_model},
    {"fetch", "download CIFAR-10", cln_cmd_fetch},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    printf("usage: clnorm COMMAND [OPTION ...]\n"
           "\n"
           "Trains small convolutional networks, with batch, layer or group norm, on any OpenCL "
           "device.\n"
           "\n"
           "commands (clnorm COMMAND --help tells more):\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].help);
    printf("\n"
           "options:\n"
           "  --help     print this\n"
           "  --version  print the version\n"
           "\n"
           "environment:\n"
           "  CLNORM_DEVICE     device to use where --device is not given\n"
           "  CLNORM_CACHE_DIR  folder of compiled kernels and tuning tables\n"
           "                    (else $XDG_CACHE_HOME/clnorm, ~/.cache/clnorm)\n"
           "  CLNORM_DATA       data to use where --data is not given\n"
           "  CLNORM_CL_DIR     folder with kernel sources to use in place of the built-in ones\n"
           "  CLNORM_SIMULATE   smaller limits that the device pretends (see README.md)\n"
           "\n"
           "exit status:\n"
           "   0  success\n"
           "   1  clnorm bench compare: something became slower\n"
           "   2  the command line is wrong\n"
           " 130  interrupted; clnorm train, study, lr-find, tune and fetch keep what they have\n");
#define CLN_EXIT_LINE(name, code, text)                                                            \
    if ((code) != CLN_ERR_ARGUMENT)                                                                \
        printf("  %2d  %s\n", cln_cli_status(code), text);
    CLN_ERROR_TABLE(CLN_EXIT_LINE)
#undef CLN_EXIT_LINE
}

/* A full disk behind stdout must not look like success. Where there is an error already, its line is enough; 1 is none, but
 * what clnorm bench compare has found. */
static int close_output(int status)
{
    if ((status != CLN_EXIT_OK && status != 1) || (fflush(stdout) == 0 && !ferror(stdout)))
        return status;
    fprintf(stderr, "clnorm: cannot write the output: %s\n", strerror(errno));
    return cln_cli_status(CLN_ERR_IO);
}

static int run_command(const command *c, int argc, char **argv)
{
    char title[64];
    snprintf(title, sizeof title, "clnorm %s", c->name);
    argv[0] = title;
    optind = 1;
    return c->run(argc, argv);
}

/* Where a caller closed stdin, stdout or stderr, the next file would take its place, and messages would go into it. */
static void keep_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    keep_standard_streams();
    signal(SIGCHLD, SIG_DFL); /* a caller may have it ignored, and then nobody knows how a process ended */
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is then an error with a text, like a full disk */
    if (argc < 2) {
        fprintf(stderr, "clnorm: no command was given (see clnorm --help)\n");
        return CLN_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help();
        return close_output(CLN_EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("clnorm %s\n", CLNORM_VERSION);
        return close_output(CLN_EXIT_OK);
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return close_output(run_command(&commands[i], argc - 1, argv + 1));

    fprintf(stderr, "clnorm: there is no command \"%s\"; choose one of:", argv[1]);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(stderr, " %s", commands[i].name);
    fprintf(stderr, " (see clnorm --help)\n");
    return CLN_EXIT_USAGE;
}
