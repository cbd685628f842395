/* A scratch folder for a test's files, and what the data tests ask of a reader. */
#ifndef CLN_TEST_SCRATCH_H
#define CLN_TEST_SCRATCH_H

#include <sys/resource.h>

#include "dataset.h"

typedef struct blob {
    char *bytes; /* the caller frees */
    size_t size;
} blob;

void scratch_new(void);    /* a new empty folder below $TMPDIR, else /tmp */
void scratch_remove(void); /* with all that is in it */

/* The path of `name` in the scratch folder ("": the folder). Valid until the fourth call after. */
const char *at(const char *name);

void put(const char *name, const void *bytes, size_t n);
void put_gzip(const char *name, const void *bytes, size_t n);
blob get(const char *name);
void put_text(const char *name, const char *text);
void holds_text(const char *name, const char *text); /* the file must */

/* Files of this process may not grow beyond it, as on a full disk; RLIM_INFINITY: as far as the hard limit goes. */
void limit_files(rlim_t bytes);

/* The path must be refused with this code and one line that contains `say`, nothing left in *out. */
void refuse(const char *path, int code, const char *say);
/* The path must open. */
cln_dataset *accept_data(const char *path);

#endif
