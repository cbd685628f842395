/* replay CORPUS: every target with every file of CORPUS/TARGET/, in any build. "ok-*" must be accepted, "bad-*"
 * refused, without a crash and without more memory than the limits of the readers promise. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>

enum { MAX_SEED = 1 << 20, MAX_KIB = 512 << 10 };

static size_t read_seed(const char *path, uint8_t *bytes)
{
    FILE *f = fopen(path, "rb");
    FUZZ_MUST(f != NULL);
    const size_t n = fread(bytes, 1, MAX_SEED, f);
    FUZZ_MUST(!ferror(f) && feof(f));
    fclose(f);
    return n;
}

/* One file; 1: what became of it is not what its name says. */
static int replay_seed(const fuzz_target *target, const char *folder, const char *name)
{
    static uint8_t bytes[MAX_SEED + 1];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    printf("%s/%s\n", target->name, name);
    fflush(stdout); /* what crashes is the last one named */
    const size_t n = read_seed(path, bytes);
    uint8_t *copy = malloc(n + !n); /* of its very length, so that reading over its end shows */
    FUZZ_MUST(copy != NULL);
    memcpy(copy, bytes, n);
    const int rc = target->run(copy, n);
    free(copy);
    const bool wrong =
        strncmp(name, "ok-", 3) == 0 ? rc != 0 : strncmp(name, "bad-", 4) == 0 && rc == 0;
    if (wrong)
        fprintf(stderr, "%s: %s (%d)\n", path, rc ? "refused" : "accepted", rc);
    return wrong;
}

static int replay_target(const fuzz_target *target, const char *corpus, int *seeds)
{
    char folder[2048];
    int wrong = 0, n = 0;
    snprintf(folder, sizeof folder, "%s/%s", corpus, target->name);
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.') {
            wrong += replay_seed(target, folder, entry->d_name);
            n++;
        }
    if (dir)
        closedir(dir);
    if (n == 0)
        fprintf(stderr, "%s: no seeds\n", folder);
    *seeds += n;
    return wrong + (n == 0);
}

int main(int argc, char **argv)
{
    struct rusage usage = {0};
    int wrong = 0, seeds = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    for (const fuzz_target *t = fuzz_targets; t->name; t++)
        wrong += replay_target(t, argv[1], &seeds);
    FUZZ_MUST(getrusage(RUSAGE_SELF, &usage) == 0);
    printf("%d seeds, %d wrong, %ld MiB at most\n", seeds, wrong, usage.ru_maxrss >> 10);
    if (usage.ru_maxrss > MAX_KIB) {
        fprintf(stderr, "%ld KiB of memory were used, %d are expected to do\n", usage.ru_maxrss,
                (int)MAX_KIB);
        wrong++;
    }
    return wrong != 0;
}
