/* libFuzzer's entry: a program that is called fuzz_NAME runs the target NAME. */
#include "fuzz.h"

#include <string.h>

static const fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *slash = strrchr((*argv)[0], '/'), *name = slash ? slash + 1 : (*argv)[0];
    (void)argc;
    for (target = fuzz_targets; target->name; target++)
        if (strncmp(name, "fuzz_", 5) == 0 && strcmp(name + 5, target->name) == 0)
            return 0;
    fprintf(stderr, "%s: there is no such target\n", name);
    exit(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    (void)target->run(bytes, n);
    return 0;
}
