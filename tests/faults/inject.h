/* Call sites of the program under test, counted and made to fail. Shared by cl_layer.c (OpenCL calls) and
 * libc_shim.c (allocations and file operations), which see each call before it happens.
 *
 * A SITE is a function's name and the code that called it: the return addresses within the program (and the
 * libraries in $CLN_FAULTS_LIBS, separated by ':'), the innermost $CLN_FAULTS_DEPTH of them (1), as a hash of their
 * offsets, so that it is the same in every process of one build. Calls from elsewhere (drivers, the C library) are
 * neither counted nor failed.
 *
 * Environment: CLN_FAULTS_LOG=FILE gets appended, when the process ends,
 *     site NAME SITE CALLS OFFSET      one line for each
 *     injected NAME SITE K HOW DETAIL  at once, when a fault is injected
 *     held KIND COUNT                  what the program has not released
 * (only in the program that $CLN_FAULTS_PROGRAM names, so that its children, a linker of PoCL's, are left alone)
 * and CLN_FAULTS=NAME:SITE:K:HOW injects a fault at the K-th call of that site; HOW is the tool's own, and a '+' before
 * it makes every later call of the program fail likewise; "kill": the process is killed (SIGKILL) in place of the call. CLN_FAULTS_TOOL=cl|libc says whose the fault is. */
#ifndef CLN_FAULTS_INJECT_H
#define CLN_FAULTS_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#pragma GCC visibility push(hidden) /* both tools may be in one process: each has its own */

typedef struct inject_site {
    const char *name;
    uint32_t hash;
    uintptr_t offset; /* of the innermost return address, in its module: for addr2line */
    bool direct;      /* called by our code itself, not by a library (CLBlast) on its behalf */
    unsigned calls;
} inject_site;

/* Once, before any call is counted. `name` is the tool's. */
void inject_begin(const char *name);

/* Whether an address lies in the program or in one of $CLN_FAULTS_LIBS. */
bool inject_is_ours(const void *address);

/* Counts a call of `name` and returns how it is to fail (HOW of CLN_FAULTS), NULL: not at all. `detail` (may be NULL)
 * is logged with a fault. *site (may be NULL) tells where it came from; NULL for a foreign call. Not for use by
 * several threads at once. */
const char *inject_call(const char *name, const char *detail, const inject_site **site);

/* Appends one line to the log. */
void inject_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes the sites; once, at the end. */
void inject_end(void);

#pragma GCC visibility pop

#endif
