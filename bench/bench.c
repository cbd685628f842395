/* clnorm bench: picks the measurement. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} benches[] = {{"step", "images per second of whole training steps", cln_bench_step},
             {"compare", "what got slower or faster between two reports", cln_bench_compare}};

int cln_cmd_bench(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf("usage: clnorm bench WHAT [OPTION ...]\n\n");
        for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++)
            printf("  %-8s %s\n", benches[i].name, benches[i].help);
        return CLN_EXIT_OK;
    }
    for (size_t i = 0; argc > 1 && i < sizeof benches / sizeof benches[0]; i++)
        if (strcmp(argv[1], benches[i].name) == 0) {
            char title[64];
            snprintf(title, sizeof title, "clnorm bench %s", benches[i].name);
            argv[1] = title;
            return benches[i].run(argc - 1, argv + 1);
        }
    return cln_cli_usage("bench", argc > 1 ? "there is no bench '%s'" : "which bench?", argc > 1 ? argv[1] : "");
}
