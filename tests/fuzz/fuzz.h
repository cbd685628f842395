/* A fuzz target hands one input to a reader, as a file or as text, and checks what comes back: libfuzzer.c runs one
 * with inputs that libFuzzer makes, replay.c all of them with the committed ones in corpus/. */
#ifndef CLN_FUZZ_H
#define CLN_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct fuzz_target {
    const char *name;                           /* of its folder in corpus/ */
    int (*run)(const uint8_t *bytes, size_t n); /* 0: accepted; else the reader's error code */
} fuzz_target;

extern const fuzz_target fuzz_targets[]; /* ends with a NULL name */

/* What has to hold whatever the input: if not, that is a finding. */
#define FUZZ_MUST(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- files.c: the inputs as files, in a folder of this process that goes when it ends ------------- */

typedef struct fuzz_piece {
    const uint8_t *bytes;
    size_t n;
    bool there;
} fuzz_piece;

/* An input that is several files: for each its length (2 bytes, little-endian; 0xffff: there is none), then their
 * bytes; the last one is what remains. False: too short for the lengths. */
bool fuzz_split(const uint8_t *bytes, size_t n, fuzz_piece *out, int count);

/* The path of a file in the folder; valid until the fourth call after. */
const char *fuzz_path(const char *name);
const char *fuzz_put(const char *name, const uint8_t *bytes, size_t n);
const char *fuzz_put_gzip(const char *name, const uint8_t *bytes, size_t n);
void fuzz_drop(const char *name);

/* Makes the checksums of a tar archive right: few mutations would get past them otherwise. */
void fuzz_mend_tar(uint8_t *bytes, size_t n);

#endif
