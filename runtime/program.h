/* From .cl text to cl_program by one path: in memory -> binary cache on disk -> compile (and save).
 * Kernel sources are embedded in the library; CLNORM_CL_DIR reads them from a folder instead. */
#ifndef CLN_PROGRAM_H
#define CLN_PROGRAM_H

#include "cache.h"
#include "device.h"

/* Embedded text files, written by CMake (cmake step `embed`): kernels "norm.cl", models "s8.net".
 * cln_embedded ends with a NULL name. */
typedef struct cln_embedded_file {
    const char *name;
    const unsigned char *bytes; /* NUL-terminated for convenience; the NUL is not in size */
    size_t size;
} cln_embedded_file;
extern const cln_embedded_file cln_embedded[];
const cln_embedded_file *cln_embedded_find(const char *name);

typedef struct cln_program cln_program;

/* The program of kernel file `file` ("norm.cl") built with `options` ("-D V=8 -D ACT=1"), owned by
 * the device and shared by all who ask for the same pair. "philox.h" and "common.cl" are put before every file, with
 * #line directives, so that a build error reads "norm.cl:7:20: error: ...".
 * Cache key: hash(source, options, device, driver, platform version, format version); a file that does
 * not load is rebuilt. CLNORM_CACHE_DIR overrides $XDG_CACHE_HOME/clnorm (else ~/.cache/clnorm); an
 * unwritable cache is not an error. Errors: CLN_ERR_BUILD with the log in err->log. */
int cln_program_get(cln_device *dev, const char *file, const char *options, cln_program **out,
                    cln_error *err);

/* Tells apart devices, drivers, versions of clnorm and kernel sources ($CLNORM_CL_DIR's where it is set), all in one. False:
 * no memory, or no digest could be computed. */
bool cln_program_fingerprint(const cln_device *dev, char key[CLN_CACHE_KEY]);

cl_program cln_program_id(const cln_program *p);

/* Writes programs that were compiled in this process to the disk cache (temporary name, then rename).
 * Called once after a plan's kernels have been created (and best after a first launch: PoCL's
 * binaries then contain the finished work-group functions). Failure is silent: a cache is only a cache. Does nothing
 * where the driver keeps a cache of its own (PoCL), unless CLNORM_KEEP_BINARIES is set. */
void cln_program_cache_save(cln_device *dev);

/* Whether that is so: it keeps on disk what it has compiled. */
bool cln_program_driver_caches(const cln_device *dev);

void cln_program_free_all(cln_device *dev);

#endif
