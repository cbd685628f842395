/* clnorm bench: picks the measurement. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} benches[] = {
    {"layers", "every layer of a network by norm, alone and in its stage (the default)", cln_bench_layers},
    {"step", "whole training steps and inference by norm and batch size; where the time goes", cln_bench_step},
    {"norms", "the norms alone on free shapes, without a model", cln_bench_norms},
    {"peak", "the device's ceilings: arithmetic, memory, launches", cln_bench_peak},
    {"compare", "two runs, row by row: what got slower or faster", cln_bench_compare},
};
enum { BENCHES = sizeof benches / sizeof benches[0] };

static void print_help(void)
{
    printf("usage: clnorm bench [WHAT] [OPTION ...]\n\nTimes training on a device. WHAT (clnorm bench WHAT --help tells "
           "more):\n");
    for (int i = 0; i < BENCHES; i++)
        printf("  %-8s %s\n", benches[i].name, benches[i].help);
    printf("\nWithout WHAT the options are those of layers.\n");
}

static int run(int i, int argc, char **argv)
{
    char title[64];
    snprintf(title, sizeof title, "clnorm bench %s", benches[i].name);
    argv[0] = title;
    return benches[i].run(argc, argv);
}

int cln_cmd_bench(int argc, char **argv)
{
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
        print_help();
        return CLN_EXIT_OK;
    }
    if (argc < 2 || argv[1][0] == '-')
        return run(0, argc, argv);
    for (int i = 0; i < BENCHES; i++)
        if (!strcmp(argv[1], benches[i].name))
            return run(i, argc - 1, argv + 1);
    return cln_cli_usage("bench", "there is no bench '%s'", argv[1]);
}
